//! How long a worker that waits for a task needs to get it.

use std::time::{Duration, Instant};

use tenure::Ledger;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::bare::work::{Measured, Recorder, Work};
use crate::common::fill::{finish, life_name};

const QUEUE: &str = "waited-for";
const OWNER: &str = "host/123/worker-17";
/// A claim that found nothing rests for 20 ms before it waits for a signal. The rest of this is for the calls before that.
const IDLE: Duration = Duration::from_millis(40);
/// Longer than anything but a claim that is lost.
const STUCK: Duration = Duration::from_secs(10);

/// One task after the other is created while a worker waits. `finished` tasks are stored before.
pub(crate) async fn claims(ledger: &Ledger, finished: usize, work: Work) -> Measured {
    finish(ledger, finished).await;
    let (send, mut taken) = channel(1);
    let worker = tokio::spawn(take(ledger.clone(), send));
    let mut recorder = Recorder::start(work, finished);
    for at in finished.. {
        if !recorder.goes_on() {
            break;
        }
        tokio::time::sleep(IDLE).await;
        let began = Instant::now();
        ledger.create(&life_name(at)).queue(QUEUE).await.expect("created");
        recorder.claim(next(&mut taken).await - began);
    }
    worker.abort();
    // It must not meet a store that is closing.
    let _ = worker.await;
    recorder.end()
}

async fn next(taken: &mut Receiver<Instant>) -> Instant {
    let next = tokio::time::timeout(STUCK, taken.recv()).await;
    next.expect("the worker gets the task").expect("the worker goes on")
}

/// Sends when it has got a task, after it has completed that: then nothing is under way.
async fn take(ledger: Ledger, taken: Sender<Instant>) {
    loop {
        let claimed = ledger.claim(QUEUE, OWNER).wait_up_to(STUCK).await.expect("claimed");
        let at = Instant::now();
        for task in claimed {
            let by = task.lease().expect("a lease").holder();
            ledger.complete(task.id.as_str(), &by).await.expect("completed");
            taken.send(at).await.expect("someone waits");
        }
    }
}
