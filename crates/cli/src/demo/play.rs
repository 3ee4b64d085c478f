//! The scenes of the demo, and what is checked after each.

use tenure::core::compensation::Status;
use tenure::core::task::State;
use tenure::process::CommandEnd;
use tenure::store::Filter;

use super::seen::TaskProgress;
use super::stage::{Stage, in_words};
use crate::error::CliError;

/// The number of tasks.
const BUILDS: usize = 6;
const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
/// The worker that is killed.
const VICTIM: &str = "w2";
const RECOVERY: &str = "recovery";
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

impl Stage<'_, '_, '_> {
    /// Plays all scenes. An error says what did not happen.
    pub(super) async fn play(&mut self) -> Result<(), CliError> {
        let folder = self.folder().display().to_string();
        self.tell.heading("Three workers share a queue, and one of them is killed.")?;
        self.tell.explain(
            "Everything is real: processes, files, and a store in a directory that is removed at the end.",
        )?;
        self.tell.command(&format!("cd {folder}"))?;
        self.queue_up().await?;
        self.set_to_work().await?;
        let lost = self.kill_one().await?;
        self.undo(&lost).await?;
        self.do_again(&lost).await?;
        self.finish().await?;
        self.verify(&lost).await?;
        self.tell.heading("That was Tenure. To do the same in your shell, see `tenure worker --help`.")
    }

    async fn queue_up(&mut self) -> Result<(), CliError> {
        self.scene("1. Six builds are queued")?;
        self.tell
            .explain("A lease lasts 5 seconds unless it is renewed. Each build has up to 3 attempts.")?;
        let create = |nth| format!("task create --id build-{nth} --queue builds --ttl 5s --max-attempts 3");
        self.command(&create(1), 0).await?;
        for nth in 2..=BUILDS {
            self.in_silence(&create(nth), 0).await?;
        }
        self.tell.explain("and so on, up to build-6")?;
        let planned = Filter::default().with(|filter| filter.states = vec![State::Planned]);
        let planned = self.ledger.tasks(planned, None, 100).await?.items.len();
        self.must(planned == BUILDS, "six builds are planned")
    }

    async fn set_to_work(&mut self) -> Result<(), CliError> {
        self.scene("2. Recovery and three workers start")?;
        self.tell.explain(
            "build.sh registers how to undo its worktree, creates the worktree, then works. tenure.toml has the undo command. \
             From here on, each line is an event, printed as it is recorded.",
        )?;
        self.begin(RECOVERY, "--config tenure.toml recover --watch").await?;
        for worker in WORKERS {
            let words = format!("worker --queue builds --owner {worker} --progress-fd 3 -- sh build.sh");
            self.begin(worker, &words).await?;
        }
        for worker in WORKERS {
            let begun = format!("{worker}'s first lease");
            self.until(&begun, |seen| seen.has_begun(worker).then_some(())).await?;
        }
        self.is_so("each of three workers took a build")
    }

    /// Kills a worker in the middle of a task, and shows what it leaves.
    async fn kill_one(&mut self) -> Result<TaskProgress, CliError> {
        let middle = format!("{VICTIM} in the middle of a build");
        let lost = self.until(&middle, |seen| seen.in_the_middle(VICTIM)).await?;
        // The worker is killed before the explanation is printed, since its build goes on in the meantime.
        let process = self.process_of(VICTIM).unwrap_or_default();
        let (end, _) = self.end(VICTIM, KILL).await?;
        let TaskProgress { task, owner, epoch, .. } = &lost;
        self.scene(&format!("3. {owner} is killed in the middle of {task}"))?;
        self.tell.explain("It releases nothing and says nothing: only the store knows what it was doing.")?;
        self.tell.command(&format!("kill -9 {process}"))?;
        if end != CommandEnd::Signalled(KILL) {
            return Err(CliError::Failed(format!("{owner} was not killed: {}", in_words(&end))));
        }
        let held = self.ledger.task(task).await?;
        let is_held =
            held.lease().is_some_and(|lease| lease.owner.as_str() == owner && lease.epoch == *epoch);
        self.must(is_held, &format!("{owner} was killed while it held {task} under epoch {epoch}"))?;
        self.until_nobody_makes(task).await?;
        let is_left = self.written(task, "made-by").is_some_and(|by| by == lost.signature());
        self.must(is_left, &format!("its command ended with it and left worktrees/{task} behind"))?;
        self.command(&format!("task why {task}"), 0).await?;
        Ok(lost)
    }

    async fn undo(&mut self, lost: &TaskProgress) -> Result<(), CliError> {
        let TaskProgress { task, owner, .. } = lost;
        self.scene("4. Its lease lapses, and recovery undoes what it left")?;
        self.tell
            .explain(&format!("Nobody renews the lease now. The other workers continue; watch {task}."))?;
        let epoch = self.until("recovery's takeover", |seen| seen.reclaimed(lost)).await?;
        self.is_so(&format!(
            "recovery took over {task} under epoch {epoch}, after {owner}'s lease had lapsed"
        ))?;
        let receipt = self.until("a receipt for the undo", |seen| seen.receipt(lost)).await?;
        let is_there = self.written(task, "made-by").is_some_and(|by| by == lost.signature());
        let is_told = receipt.contains(&format!("removed worktrees/{task}, made by {}", lost.signature()));
        self.must(
            !is_there && is_told,
            &format!("what {owner} left is gone, and there is a receipt for the undo"),
        )?;
        self.until("another attempt", |seen| seen.is_planned_again(lost).then_some(())).await?;
        self.is_so(&format!("{task} was planned again"))
    }

    async fn do_again(&mut self, lost: &TaskProgress) -> Result<(), CliError> {
        let TaskProgress { task, owner, epoch, .. } = lost;
        self.scene("5. Another worker does it again")?;
        let (other, higher) = self.until("another worker", |seen| seen.successor(lost)).await?;
        self.must(other != *owner, &format!("{other} took {task} under epoch {higher}"))?;
        self.scene(&format!("6. A late message from {owner} arrives"))?;
        self.tell.explain("Its epoch is too old, so it is refused, whatever it says.")?;
        let told = self.seen.events.len();
        let late = format!("task complete {task} --owner {owner} --epoch {epoch}");
        let answer = self.command(&late, 3).await?;
        // On a slow machine the other worker may have completed it already.
        let is_refused = ["stale_epoch", "terminal"].iter().any(|code| answer.contains(code));
        self.must(is_refused, "the late message was refused")?;
        self.scene("7. The rest is done")?;
        let all = |seen: &super::seen::Seen| (seen.completed() == BUILDS).then_some(());
        self.until("the end of all builds", all).await?;
        let is_heard = self.seen.was_heard_again(owner, told);
        self.must(!is_heard, "the late message changed nothing")
    }

    async fn finish(&mut self) -> Result<(), CliError> {
        for nth in 1..=BUILDS {
            let task = self.ledger.task(&format!("build-{nth}")).await?;
            let by = self.written(task.id.as_str(), "made-by").unwrap_or_default();
            let is_done = task.state() == State::Completed && !task.owes();
            let is_its = by.ends_with(&format!(" under epoch {}", task.epoch));
            if !is_done || !is_its {
                return Err(not_shown("six builds are completed", &format!("{task:?}, made by {by}")));
            }
        }
        self.is_so("six builds are completed, each has its worktree, and nothing is owed")?;
        self.tell.command("kill $(jobs -p)")?;
        for name in ["w1", "w3", RECOVERY] {
            let (end, said) = self.end(name, TERMINATE).await?;
            if end != CommandEnd::Exited(0) {
                return Err(CliError::Failed(format!(
                    "{name} did not stop cleanly: {}: {said}",
                    in_words(&end)
                )));
            }
            let last = said.lines().next_back().unwrap_or_default();
            self.tell.printed(&format!("{name}: {}", last.strip_prefix("note: ").unwrap_or(last)))?;
        }
        self.is_so("the workers and recovery stopped when they were told to")
    }

    async fn verify(&mut self, lost: &TaskProgress) -> Result<(), CliError> {
        let TaskProgress { task, owner, .. } = lost;
        self.scene("8. Every step is an event in a history that can be verified")?;
        let record = self.ledger.task(task).await?;
        let is_done = |one: &&tenure::core::compensation::Compensation| one.status == Status::Done;
        let is_kept = record.compensations.iter().find(is_done).is_some_and(|one| one.receipt.is_some());
        self.must(is_kept, &format!("the receipt for what {owner} left is kept"))?;
        self.command("audit verify", 0).await?;
        let report = self.ledger.verify(None).await?;
        let is_whole = report.holds() && report.tasks == BUILDS as u64;
        self.must(is_whole, "the history is verified")
    }

    /// Prints a heading, after all events so far.
    fn scene(&mut self, words: &str) -> Result<(), CliError> {
        self.catch_up()?;
        self.tell.heading(words)
    }

    /// Prints a statement, if it is true.
    fn must(&mut self, is_so: bool, what: &str) -> Result<(), CliError> {
        match is_so {
            true => self.is_so(what),
            false => Err(not_shown(what, "the store and the files say otherwise")),
        }
    }

    fn is_so(&mut self, what: &str) -> Result<(), CliError> {
        self.catch_up()?;
        self.steps.push(what.to_owned());
        self.tell.is_so(what)
    }
}

fn not_shown(what: &str, why: &str) -> CliError {
    CliError::Failed(format!("this is not so: {what}; {why}"))
}
