//! The only place that reads a clock. All other code gets the time as an argument.

#![expect(clippy::disallowed_methods, reason = "clocks are read here and nowhere else")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tenure_core::time::{Span, Time};

/// What a clock shows: the wall's time, and how long the machine has been up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The time of day, which can be set.
    pub wall: Time,
    /// An id of the machine's boot, and the time since, sleep included. Some clocks have none.
    pub boot: Option<(Arc<str>, Span)>,
}

/// Where a store gets the time from.
pub trait Clock: Send + Sync {
    /// The current reading.
    fn read(&self) -> Reading;
}

/// The machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot_id: Option<Arc<str>>,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        SystemClock { boot_id: boot_id.map(|id| Arc::from(id.trim())) }
    }
}

impl Clock for SystemClock {
    fn read(&self) -> Reading {
        let wall = clock_gettime(ClockId::Realtime);
        let wall = Time::from_micros(wall.tv_sec.saturating_mul(1_000_000) + wall.tv_nsec / 1_000);
        Reading { wall, boot: self.boot_id.clone().map(|id| (id, uptime())) }
    }
}

/// The time since boot. It goes on while the machine sleeps, unlike `std::time::Instant` on Linux.
fn uptime() -> Span {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    // What macOS has under this name goes on while it sleeps, too.
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let up = clock_gettime(clock);
    Span::from_micros(u64::try_from(up.tv_sec.saturating_mul(1_000_000) + up.tv_nsec / 1_000).unwrap_or(0))
}

/// A point in time on this machine only: the time since its boot, sleep included. Deadlines use it, because a
/// lease goes on lapsing while its holder's machine sleeps, and whatever happens to the time of day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(Span);

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        Moment(uptime())
    }

    /// The moment that many microseconds after the machine was started, as another process of it told it.
    pub const fn from_micros(micros: u64) -> Moment {
        Moment(Span::from_micros(micros))
    }

    /// Microseconds since the machine was started.
    pub const fn as_micros(self) -> u64 {
        self.0.as_micros()
    }

    /// How long after `earlier` this is; nothing if it is not after it.
    pub fn since(self, earlier: Moment) -> Span {
        Span::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }

    /// This moment, that much earlier; not before the machine's start.
    pub fn earlier_by(self, span: Span) -> Moment {
        Moment(Span::from_micros(self.as_micros().saturating_sub(span.as_micros())))
    }

    /// Resolves when the moment has come. The runtime's timers stop while the machine sleeps, so this checks
    /// every second. After a sleep past the moment, it resolves within one second of waking.
    pub async fn come(self) {
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        loop {
            let left = Duration::from(self.since(Moment::now()));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

impl std::ops::Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(Span::from_micros(self.as_micros().saturating_add(span.as_micros())))
    }
}

/// A clock that stands still until it is moved: for tests, which never sleep in order to be right.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows this instant.
    pub fn at(time: Time) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(time.as_micros())))
    }

    /// Moves it ahead.
    pub fn advance(&self, by: impl Into<Span>) {
        let by = i64::try_from(by.into().as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets it, also back.
    pub fn set(&self, time: Time) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }

    /// What it shows.
    pub fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        Reading { wall: self.now(), boot: None }
    }
}

/// A stored reading. With it, time continues across restarts: it never goes back, and does not freeze after a
/// jump.
#[doc(hidden)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The time then.
    pub time: Time,
    /// The boot, and the time since it, if the clock had one.
    pub boot: Option<(Arc<str>, Span)>,
}

impl Mark {
    /// The time by this mark: what the wall says, or what it was at the mark and what has passed since, if that is more.
    pub fn now(&self, reading: &Reading) -> Time {
        self.at_least(reading).max(reading.wall)
    }

    /// What the mark alone guarantees. Within one boot, at least the time since the mark has passed.
    pub fn at_least(&self, reading: &Reading) -> Time {
        match (&self.boot, &reading.boot) {
            (Some((then_boot, then)), Some((boot, now))) if then_boot == boot => {
                self.time + Span::from_micros(now.as_micros().saturating_sub(then.as_micros()))
            }
            (_, _) => self.time,
        }
    }
}

/// The last time that was used, for readers: they never get an earlier one.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct LastInstant(Arc<AtomicI64>);

impl Default for LastInstant {
    fn default() -> LastInstant {
        LastInstant(Arc::new(AtomicI64::new(Time::MIN.as_micros())))
    }
}

impl LastInstant {
    /// The latest instant that was given.
    pub fn get(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }

    /// Sets it; for one writer.
    pub fn set(&self, last: Time) {
        self.0.store(last.as_micros(), Ordering::SeqCst);
    }

    /// For several writers: it never goes back.
    pub fn raise(&self, last: Time) {
        self.0.fetch_max(last.as_micros(), Ordering::SeqCst);
    }
}

/// Gives the instants of commands: never an earlier one than before, and in a batch each later by a microsecond.
#[doc(hidden)]
#[derive(Debug)]
pub struct Instants {
    next: Time,
}

impl Instants {
    /// From now on, and not before the last one that was given.
    pub fn from(now: Time, last: Time) -> Instants {
        Instants { next: now.max(last) }
    }

    /// The next instant.
    pub fn take(&mut self) -> Time {
        let now = self.next;
        self.next = now + Span::from_micros(1);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, boot: &str, up_secs: u64) -> Reading {
        Reading { wall: Time::from_micros(wall), boot: Some((Arc::from(boot), Span::from_secs(up_secs))) }
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_take_the_time_back() {
        let mark = Mark {
            time: Time::from_micros(1_000_000_000),
            boot: Some((Arc::from("b"), Span::from_secs(100))),
        };
        assert_eq!(mark.now(&at(5, "b", 101)), Time::from_micros(1_001_000_000), "and it goes on");
        assert_eq!(mark.now(&at(5, "other boot", 3)), Time::from_micros(1_000_000_000), "it can't know more");
    }

    #[test]
    fn a_wall_clock_that_jumps_ahead_is_believed() {
        let mark = Mark { time: Time::from_micros(1_000), boot: None };
        assert_eq!(mark.now(&at(9_000_000, "b", 1)), Time::from_micros(9_000_000));
    }

    #[tokio::test]
    async fn a_moment_comes_when_it_is_there_and_not_before() {
        let soon = Moment::now() + Span::from_millis(30);
        soon.come().await;
        assert!(Moment::now() >= soon);
        Moment::from_micros(1).come().await;
    }

    #[test]
    fn the_system_clock_moves() {
        let clock = SystemClock::default();
        let (first, second) = (clock.read(), clock.read());
        assert!(second.wall >= first.wall && first.wall > Time::from_micros(1_700_000_000_000_000));
    }
}
