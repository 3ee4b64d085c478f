//! Commands that wait also wait through an outage: a server that is restarted comes back. Each cause is printed once.

use std::time::Duration;

use tenure::{Error, Failure};

use crate::output::Output;

/// The pause before the store is tried again.
const REST: Duration = Duration::from_secs(1);

/// The cause of the current outage that was printed last.
#[derive(Default)]
pub(crate) struct Outage {
    told: Option<Failure>,
}

impl Outage {
    /// Pauses after an error that may pass; returns any other error.
    pub(crate) async fn rest(&mut self, error: Error, out: &mut Output<'_>) -> Result<(), Error> {
        let Error::Unavailable(failure) = &error else { return Err(error) };
        if self.told.as_ref() != Some(failure) {
            out.note(&format!("the store is unavailable, retrying: {failure}"));
            self.told = Some(failure.clone());
        }
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// Ends the outage: the store has answered.
    pub(crate) fn is_over(&mut self) {
        self.told = None;
    }
}
