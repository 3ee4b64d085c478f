//! Notifies systemd that the server is ready, stopping, or alive.

use std::time::Duration;

use sd_notify::NotifyState;

/// systemd, if it started this process and wants notifications; otherwise nothing.
#[derive(Clone)]
pub(super) struct ServiceManager {
    /// The interval of watchdog notifications.
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

    /// Notifies the watchdog at half of its timeout, as long as the async runtime schedules tasks. It does not check the
    /// store: a store that is unavailable is no reason to restart the server.
    pub(super) async fn watch(self) {
        let Some(every) = self.every else { return };
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // A newly spawned task must get its turn, too.
            if tokio::spawn(async {}).await.is_ok() {
                say(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// Without a service manager this does nothing.
fn say(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "can't notify the service manager");
    }
}
