//! The points at which a crash matters, by name.
//!
//! In a product nothing happens at them. Built with the feature `points`, a process that was told so by
//! [`crash_at`] ends there as by `kill -9`: how tests show what a crash leaves. A name is written once in the code, and
//! `docs/testing.md` has them all.

/// Says that the process is at that point.
#[inline]
pub(crate) fn reached(name: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::reached(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

#[cfg(feature = "failpoints")]
pub use armed::crash_at;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::Mutex;

    use rustix::process::{Signal, getpid, kill_process};

    static DEADLY: Mutex<Option<(String, u32)>> = Mutex::new(None);

    /// From now on the process dies when it reaches that point for the `nth` time, the first being 1.
    pub fn crash_at(name: &str, nth: u32) {
        if let Ok(mut deadly) = DEADLY.lock() {
            *deadly = Some((name.to_owned(), nth));
        }
    }

    pub(super) fn reached(name: &'static str) {
        let Ok(mut deadly) = DEADLY.lock() else { return };
        let Some((point, left)) = deadly.as_mut().filter(|(point, _)| point == name) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            tracing::info!(point, "crashes here, as requested");
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal is on its way; nothing more is done until it is here.
            std::thread::park();
        }
    }
}
