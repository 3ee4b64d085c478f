//! Whoever waits for something to happen waits through an outage, too: a server that is restarted comes back.
//! What stands in the way is said once.

use std::time::Duration;

use tenure::Error;

use crate::output::Output;

/// The rest before a store that is away is asked again.
const REST: Duration = Duration::from_secs(1);

/// What was told of the store that is away just now.
#[derive(Default)]
pub(crate) struct Outage {
    told: Option<String>,
}

impl Outage {
    /// Rests after an error that passes; what does not pass is given back.
    pub(crate) async fn rest(&mut self, error: Error, out: &mut Output<'_>) -> Result<(), Error> {
        let Error::Unavailable(words) = &error else { return Err(error) };
        if self.told.as_ref() != Some(words) {
            out.note(&format!("goes on once the store is back: {words}"));
            self.told = Some(words.clone());
        }
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// It has answered.
    pub(crate) fn is_over(&mut self) {
        self.told = None;
    }
}
