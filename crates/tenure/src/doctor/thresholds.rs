//! From where on a check warns or fails. Each is a default that suits a store of any size.

use std::time::Duration;

use tenure_core::time::Span;

/// Another time than the store's: warns. It is as in `tenure status`.
pub const CLOCK_WARN: Span = Span::from_secs(5);
/// Another time than the store's: fails.
pub const CLOCK_FAIL: Span = Span::from_secs(300);

/// A lapsed lease or reservation that nobody took over: warns. A worker that starts again needs a moment.
pub const STALE_WARN: Span = Span::from_secs(60);
/// A due task that recovery did not take: warns.
pub const LATE_WARN: Span = Span::from_secs(60);
/// A due task that recovery did not take: fails. Recovery leaves a task for 10 minutes to others that may handle its undo.
pub const LATE_FAIL: Span = Span::from_secs(900);

/// A parked task that nobody has seen to: warns at once, and fails after this long.
pub const QUARANTINED_FAIL: Span = Span::from_days(7);

/// The oldest due task that nobody takes: warns.
pub const PLANNED_WARN: Span = Span::from_secs(3_600);
/// The oldest reserved task: warns.
pub const DISPATCHED_WARN: Span = Span::from_secs(3_600);
/// The oldest running task: warns.
pub const RUNNING_WARN: Span = Span::from_days(1);
/// The oldest task that is being undone: warns.
pub const COMPENSATING_WARN: Span = Span::from_secs(3_600);

/// How far back unsuccessful ends are looked for.
pub const ENDS_WITHIN: Span = Span::from_days(1);
/// At least this many unsuccessful ends in an hour fail, if they are at least half of all.
pub const ENDS_FAIL: u64 = 10;

/// A named cursor that was not moved, though there are events behind it that are as old: warns after that.
pub const CURSOR_WARN: Span = Span::from_days(7);

/// The write-ahead log: warns. Writers begin it anew at 16 MiB, unless a reader keeps them from it.
pub const WAL_WARN: u64 = 256 * MIB;
/// The write-ahead log: fails.
pub const WAL_FAIL: u64 = 2_048 * MIB;
/// The room on the disk: warns.
pub const DISK_WARN: u64 = 1_024 * MIB;
/// The room on the disk: fails.
pub const DISK_FAIL: u64 = 128 * MIB;
/// A longer file is not read to see whether it is whole, unless everything is.
pub const INTEGRITY_BYTES: u64 = 1_024 * MIB;

/// How long events may go without an anchor that covers them: warns after that.
pub const ANCHOR_WARN: Span = Span::from_days(7);
/// How long ago the newest anchor may have been recorded: warns after that.
pub const RECORDED_WARN: Span = Span::from_days(7);
/// How many of the newest tasks are verified, unless all are.
pub const CHAIN_TASKS: usize = 1_000;
/// How long that may take.
pub const CHAIN_TIME: Duration = Duration::from_secs(5);

/// How many tasks in flight are looked at in each namespace, the oldest first.
pub const IN_FLIGHT_READ: usize = 2_000;
/// How many planned tasks are looked at in each namespace, the oldest first.
pub const PLANNED_READ: usize = 500;
/// How many unsuccessful tasks are read in each namespace.
pub const ENDED_READ: usize = 100;
/// How many names a sentence has.
pub const NAMED: usize = 10;

const MIB: u64 = 1_024 * 1_024;
