//! A worker, a recovery process, a backup or a restore that dies at a named point, as by `kill -9`.
//!
//! Usage: `tenure-mortal work|mend URL LOG [POINT NTH]`. The log has a line for each action that began or ended. Each
//! line is written by one call, so the order of lines is the order of events.
//! Or: `tenure-mortal backup|restore URL FILE [POINT NTH]`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tenure::Ledger;
use tenure::backup::{BackupOptions, BackupProgress, RestoreOptions, back_up, restore};
use tenure::core::policy::Backoff;
use tenure::core::time::Span;
use tenure::handler::command::CommandHandler;
use tenure::handler::template::Template;
use tenure::handler::{Handlers, RetryPolicy, UndoCall, UndoError};
use tenure::keeper::LeaseStatus;
use tenure::recovery::{Recovery, RecoveryOptions};
use tenure::stop::StopSignal;
use tenure::worker::{Job, Stop, WorkError, Worker};

/// A command that logs when it begins and ends, as the functions here do.
const COMMAND: &str =
    r#"echo "begin ${1#key=} ${2#epoch=}" >> "$3"; sleep 0.03; echo "end ${1#key=} ${2#epoch=}" >> "$3""#;

fn main() {
    tenure::process::serve_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str).expect("a word");
    if let (Some(point), Some(nth)) = (words.get(3), words.get(4)) {
        tenure::failpoints::crash_at(point, nth.parse().expect("a number"));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if matches!(word(0), "backup" | "restore") {
        runtime.block_on(move_once(word(0), word(1), Path::new(word(2))));
        return;
    }
    let log = Arc::new(OpenOptions::new().create(true).append(true).open(word(2)).expect("a log"));
    runtime.block_on(async {
        let ledger = Ledger::open(word(1)).await.expect("the store opens");
        match word(0) {
            "work" => work(ledger, log).await,
            "mend" => mend(ledger, log, word(2)).await,
            other => panic!("{other}?"),
        }
    });
}

/// Backs up or restores.
async fn move_once(what: &str, url: &str, file: &Path) {
    let (builder, progress) = (Ledger::builder(), BackupProgress::default());
    match what {
        "backup" => {
            drop(back_up(builder, url, file, &BackupOptions::default(), &progress).await.expect("backed up"))
        }
        _ => {
            drop(restore(builder, url, file, &RestoreOptions::default(), &progress).await.expect("restored"))
        }
    }
}

fn tell(mut log: &File, line: &str) {
    log.write_all(format!("{line}\n").as_bytes()).expect("written");
}

/// Works on the queue's tasks until it is killed. It logs each registration before the effect, and then the
/// effect.
async fn work(ledger: Ledger, log: Arc<File>) {
    let worker = Worker::new(ledger, "default").at_once(3).ttl(Duration::from_secs(1)).otherwise(
        move |job: Job<Value>| {
            let log = Arc::clone(&log);
            async move {
                let lease = job.lease();
                let (id, epoch) = (lease.id().clone(), lease.holder().epoch);
                for kind in ["remove", "command", "remove"] {
                    let task = lease.undo_with(kind, "x", "before the effect").await?;
                    let seq = task.compensations.last().expect("it was registered").seq;
                    tell(&log, &format!("effect default/{id}/{seq}/{epoch} {epoch}"));
                }
                if job.payload["unknown"] == true {
                    lease.undo_with("unknown", "x", "that nobody can undo").await?;
                }
                // It takes until the lease was renewed, so that a process that must die at a renewal does.
                let granted = lease.task().lease().map(|lease| lease.expires_at);
                let is_renewed = |standing: &LeaseStatus| match standing {
                    LeaseStatus::Held(held) => Some(held.expires_at) > granted,
                    LeaseStatus::Lost(_) | LeaseStatus::Ended => true,
                };
                // If this fails, the lease is lost and no longer renewed.
                drop(lease.status().wait_for(is_renewed).await);
                match job.payload["fails"].as_bool() {
                    Some(true) => Err(WorkError::RollBack("it failed".into())),
                    Some(false) | None => Ok(()),
                }
            }
        },
    );
    worker.run(Stop::WhenTold(StopSignal::new())).await.expect("it works");
}

/// Runs recovery until it is killed.
async fn mend(ledger: Ledger, log: Arc<File>, path: &str) {
    let retries = RetryPolicy::default()
        .with(|policy| policy.backoff = Backoff { base: Span::from_millis(50), ..Backoff::default() });
    let words = ["sh", "-c", COMMAND, "sh", "key={key}", "epoch={epoch}", path].map(str::to_owned);
    let command = CommandHandler::new(Template::new(words.to_vec(), "x").expect("a template"));
    let remove = move |call: UndoCall| {
        let log = Arc::clone(&log);
        async move {
            tell(&log, &format!("begin {} {}", call.key, call.epoch));
            // played: an undo takes time, as that of the command does. In it another one could be in the way.
            tokio::time::sleep(Duration::from_millis(20)).await;
            // The first try of every other task's newest undo fails.
            if call.seq == 4 && call.tries == 0 && call.task.ends_with(['1', '3', '5']) {
                return Err(UndoError::Retryable("not yet".into()));
            }
            tell(&log, &format!("end {} {}", call.key, call.epoch));
            Ok("gone".to_owned())
        }
    };
    let handlers = Handlers::new().with("remove", retries, remove).expect("a kind");
    let handlers = handlers.with("command", retries, command).expect("a kind");
    let settings = RecoveryOptions::default().with(|options| {
        options.ttl = Duration::from_secs(1);
        options.handler_wait = Duration::from_millis(100);
    });
    let recovery = Recovery::new(ledger).handlers(handlers).options(settings);
    recovery.watch(StopSignal::new()).await.expect("recovery runs");
}
