//! The named points in the code where a crash matters.
//!
//! In a product they do nothing. With the feature `failpoints`, [`crash_at`] makes the process end at one of them, as by
//! `kill -9`. Tests use that to show what a crash leaves behind. Each name occurs once in the code; `docs/testing.md`
//! lists them all.

/// Marks that the process has reached that point.
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

    /// Makes the process crash when it reaches that point for the `nth` time, counted from 1.
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
