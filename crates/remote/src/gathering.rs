//! Callers that were answered together go on together: their next commands are waited for, for a moment, so that they share a
//! request. Otherwise the first of them would go alone, and the others would wait until it is back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_clock::Moment;
use tenure_core::time::Span;
use tokio::sync::mpsc::UnboundedReceiver;

/// How long the next commands of callers are waited for. Timers have no finer grain.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(1);
/// How much smaller the share of callers that is waited for gets by a wait in vain, and how much larger by one that was not.
const LESS: f64 = 0.5;
const MORE: f64 = 1.0 / 64.0;

/// How many callers were answered since the last request, and when.
#[derive(Default)]
pub(super) struct JustAnswered(Mutex<Option<(usize, Moment)>>);

impl JustAnswered {
    /// Adds callers to those that were answered within that time: a caller that goes on at once has done so after it.
    pub(super) fn add(&self, callers: usize, recent: Duration) {
        let before = self.take(recent);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((before + callers, Moment::now()));
    }

    fn take(&self, recent: Duration) -> usize {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_recent = |at: &Moment| Moment::now().since(*at) < Span::from(recent);
        answered.filter(|(_, at)| is_recent(at)).map_or(0, |(callers, _)| callers)
    }
}

pub(super) struct Gathering {
    answered: Arc<JustAnswered>,
    wait_max: Duration,
    /// Which share of the callers is expected to go on at once. The others do something else between their commands, or have ended.
    share: f64,
}

impl Gathering {
    pub(super) fn waiting_up_to(wait_max: Duration) -> Gathering {
        Gathering { answered: Arc::default(), wait_max, share: 1.0 }
    }

    /// Where to count the callers that are answered.
    pub(super) fn answered(&self) -> Arc<JustAnswered> {
        Arc::clone(&self.answered)
    }

    /// Adds to the jobs those of callers that were just answered, until as many have come as usually do.
    pub(super) async fn gather<T>(&mut self, ahead: &mut VecDeque<T>, waiting: &mut UnboundedReceiver<T>) {
        let expected = (self.answered.take(self.wait_max) as f64 * self.share) as usize;
        let come = async {
            while ahead.len() < expected {
                let Some(job) = waiting.recv().await else { return };
                ahead.push_back(job);
            }
        };
        self.share = match tokio::time::timeout(self.wait_max, come).await {
            Ok(()) => (self.share + MORE).min(1.0),
            Err(_) => self.share * LESS,
        };
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// What one request has, if these callers were answered and those come then.
    async fn request(gathering: &mut Gathering, answered: usize, then: &[u32]) -> Vec<u32> {
        let (send, mut waiting) = unbounded_channel();
        let mut ahead = VecDeque::from([0]);
        gathering.answered().add(answered, gathering.wait_max);
        let come = async {
            for job in then {
                tokio::task::yield_now().await;
                send.send(*job).expect("sent");
            }
        };
        tokio::join!(gathering.gather(&mut ahead, &mut waiting), come);
        ahead.into()
    }

    #[tokio::test]
    async fn callers_that_were_answered_together_go_on_together() {
        let mut gathering = Gathering::waiting_up_to(Duration::from_secs(60));
        assert_eq!(request(&mut gathering, 3, &[1, 2, 3]).await, [0, 1, 2], "three of them are enough");
        assert_eq!(request(&mut gathering, 1, &[1]).await, [0], "one caller waits for nobody");
    }

    #[tokio::test]
    async fn as_many_callers_are_waited_for_as_usually_go_on() {
        let mut gathering = Gathering::waiting_up_to(Duration::from_millis(100));
        assert_eq!(request(&mut gathering, 3, &[1]).await, [0, 1], "the third one does not come");
        assert_eq!(request(&mut gathering, 3, &[1, 2]).await, [0], "one of three is enough now");
        for _ in 0..64 {
            request(&mut gathering, 1, &[]).await;
        }
        assert_eq!(
            request(&mut gathering, 3, &[1, 2]).await,
            [0, 1, 2],
            "after a while all are waited for again"
        );
    }

    #[tokio::test]
    async fn callers_that_were_answered_long_ago_are_not_waited_for() {
        let answered = JustAnswered::default();
        let recent = Duration::from_secs(60);
        answered.add(2, recent);
        answered.add(3, recent);
        assert_eq!((answered.take(recent), answered.take(recent)), (5, 0));
        answered.add(2, recent);
        // played: callers that do something else
        tokio::time::sleep(2 * WAIT_MAX).await;
        answered.add(1, WAIT_MAX);
        assert_eq!(answered.take(recent), 1);
    }
}
