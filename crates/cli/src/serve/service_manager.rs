//! What the service manager is told: that the server is ready, that it stops, and, while it is well, that it lives.

use std::time::Duration;

use sd_notify::NotifyState;

/// systemd, where it started this process and wants to be told; else nobody.
#[derive(Clone)]
pub(super) struct ServiceManager {
    /// How often it wants to hear.
    every: Option<Duration>,
}

impl ServiceManager {
    pub(super) fn of_this_process() -> ServiceManager {
        ServiceManager { every: sd_notify::watchdog_enabled().map(|length| length / 2) }
    }

    pub(super) fn ready(&self, status: &str) {
        say(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(super) fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }

    /// Says at half of the time that the manager waits for it that this process lives: that its tasks still get their turn, of
    /// which this is one. It does not ask the store: one that is away, or hangs, is no reason to be restarted.
    pub(super) async fn watch(self) {
        let Some(every) = self.every else { return };
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // Also one that is new must get a turn, among all that wait for one.
            if tokio::spawn(async {}).await.is_ok() {
                say(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// Where nobody listens nothing is said.
fn say(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
