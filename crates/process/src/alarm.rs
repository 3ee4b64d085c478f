//! Waits for file descriptors until a deadline that also counts while the machine sleeps.

use rustix::event::PollFd;
#[cfg(target_os = "linux")]
use rustix::event::PollFlags;
use rustix::event::{Timespec, poll};
use tenure_clock::Moment;

/// A timer on the clock of [`Moment`]: if a limit passes while the machine sleeps, it fires when the machine
/// wakes.
#[derive(Debug)]
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: std::os::fd::OwnedFd,
}

impl Alarm {
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> std::io::Result<Alarm> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Alarm { timer: timerfd_create(TimerfdClockId::Boottime, flags)? })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> std::io::Result<Alarm> {
        Ok(Alarm {})
    }

    /// Waits until one of the descriptors is ready or the moment has come; without a moment, for ever.
    #[cfg(target_os = "linux")]
    pub(super) fn wait<'a>(&'a self, mut descriptors: Vec<PollFd<'a>>, until: Option<Moment>) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, timerfd_settime};
        // A value of zero would disarm the timer.
        let at = until.map_or(0, |moment| moment.as_micros().max(1));
        let every = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: every, it_value: timespec(at) };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting);
        descriptors.push(PollFd::new(&self.timer, PollFlags::IN));
        // Without a timer it polls often instead. An interrupting signal is not an error either.
        let often = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let _ = poll(&mut descriptors, set.err().map(|_| &often));
    }

    /// Waits until one of the descriptors is ready or the moment has come; without a moment, for ever.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn wait<'a>(&'a self, mut descriptors: Vec<PollFd<'a>>, until: Option<Moment>) {
        let left = until.map(|moment| timespec(moment.since(Moment::now()).as_micros()));
        let _ = poll(&mut descriptors, left.as_ref());
    }
}

fn timespec(micros: u64) -> Timespec {
    // A moment beyond the system's range counts as none.
    let tv_sec = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: i64::try_from(micros % 1_000_000 * 1_000).unwrap_or(0) }
}
