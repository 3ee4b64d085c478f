//! What the service manager is told: that the server is ready, that it stops, and, while it is well, that it lives.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tenure_server::Server;

/// How long the store may take to say that it is there, before this process does not pass for well.
const STORE_WAITED_FOR: Duration = Duration::from_secs(5);

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

    /// Says at half of the time that the manager waits for it that this process lives. A store that is away is no reason to
    /// be restarted: what matters is that requests are answered, so that the look comes back at all.
    pub(super) async fn watch(self, server: Arc<Server>) {
        let Some(every) = self.every else { return };
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            if tokio::time::timeout(STORE_WAITED_FOR.min(every), server.answers()).await.is_ok() {
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
