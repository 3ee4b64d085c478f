//! Stories: small test scripts as text. `stories/README.md` has the grammar.

use std::path::{Path, PathBuf};

use tenure::core::command::{
    Action, Create, Holder, HolderAction, IdOrigin, OperatorAction, Put, PutHolder, PutUndo, QuarantineCause,
    Take, UndoBy,
};
use tenure::core::compensation::Undo;
use tenure::core::event::{HandReceipt, LabelChanges, Triage, Waiver};
use tenure::core::id::{
    Actor, Document, Epoch, Kind, LabelKey, LabelValue, Owner, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text,
};
use tenure::core::limit::InvalidField;
use tenure::core::policy::{Backoff, OnFailure, OnLapse, Policy, Ttl, WhenSpent};
use tenure::core::refusal::Refusal;
use tenure::core::task::{State, Task};
use tenure::core::time::{Span, Time};
use tenure::instant::parse_span;
use tenure::json;

/// A story: a sentence, and what shows that it holds.
#[derive(Clone, Debug)]
pub struct Story {
    /// The file that it is in.
    pub file: String,
    /// The sentence.
    pub title: String,
    /// The steps, each with its line.
    pub steps: Vec<Step>,
}

/// One step of a story.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// What is done.
    pub words: Vec<String>,
    /// What must then be so.
    pub expectations: Vec<Vec<String>>,
}

/// The folder of stories.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stories")
}

/// Every story, in the order of files and lines.
pub fn stories() -> Vec<Story> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the folder of stories")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "story"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Story> {
    let text = std::fs::read_to_string(path).expect("a story file");
    let file = path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut stories: Vec<Story> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if let Some(title) = text.strip_prefix("# ") {
            stories.push(Story { file: file.clone(), title: title.to_owned(), steps: Vec::new() });
        } else if !text.is_empty() && !text.starts_with("--") {
            let story = stories
                .last_mut()
                .unwrap_or_else(|| panic!("{file}:{line}: a step before the first heading"));
            story.steps.extend(text.split("; ").map(|step| read_step(line, step)));
        }
    }
    stories
}

fn read_step(line: usize, text: &str) -> Step {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let (command, expectations) = text.split_once('→').unwrap_or((text, ""));
    let expectations = expectations.split(", ").map(str::trim).filter(|one| !one.is_empty()).map(words);
    Step { line, words: words(command), expectations: expectations.collect() }
}

/// The words of a step: the plain ones in order, and those with a name.
pub struct Words<'a> {
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    /// Sorts the words of a step.
    pub fn of(step: &'a Step) -> Words<'a> {
        let is_named = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        };
        let (named, plain): (Vec<&str>, Vec<&str>) =
            step.words.iter().map(String::as_str).partition(is_named);
        Words { plain, named: named.iter().filter_map(|word| word.split_once('=')).collect() }
    }

    /// The plain word at a place.
    pub fn plain(&self, at: usize) -> &'a str {
        self.plain.get(at).copied().unwrap_or_else(|| panic!("word {at} is missing in {:?}", self.plain))
    }

    /// Whether that plain word is there.
    pub fn has_plain(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    /// The value of a named word.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.named.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.named.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    }

    fn span(&self, name: &str) -> Option<Span> {
        self.get(name).map(span)
    }

    fn ttl(&self) -> Result<Option<Ttl>, InvalidField> {
        self.span("ttl").map(Ttl::new).transpose()
    }

    fn time(&self, name: &str, now: Time) -> Option<Time> {
        self.get(name).map(|text| moved(now, text))
    }

    fn document(&self, name: &'static str) -> Result<Option<Document>, Refusal> {
        self.get(name).map(|text| json::document(name, text)).transpose()
    }

    fn reason(&self) -> Result<Reason, InvalidField> {
        Reason::new(self.get("reason").unwrap_or("because"))
    }

    fn task(&self) -> Result<TaskId, InvalidField> {
        TaskId::new(self.plain(1))
    }

    fn owner(&self) -> Result<Owner, InvalidField> {
        Owner::new(self.plain(2))
    }

    fn holder_at(&self, at: usize) -> Result<Holder, Refusal> {
        let epoch = Epoch(self.parsed("epoch").expect("epoch=N"));
        Ok(Holder { owner: Owner::new(self.plain(at))?, epoch })
    }

    fn holder(&self) -> Result<Holder, Refusal> {
        self.holder_at(2)
    }

    fn seq(&self) -> Seq {
        Seq(self.parsed("seq").expect("seq=N"))
    }

    fn waivers(&self) -> Result<Vec<Waiver>, Refusal> {
        let reason = Reason::new("gone")?;
        Ok(self.numbers("waive").map(|seq| Waiver { seq, reason: reason.clone() }).collect())
    }

    fn receipts(&self) -> Result<Vec<HandReceipt>, Refusal> {
        let receipt = Text::named("receipt", self.get("receipt").unwrap_or("by_hand"))?;
        Ok(self.numbers("done").map(|seq| HandReceipt { seq, receipt: receipt.clone() }).collect())
    }

    fn labels(&self) -> Result<LabelChanges, Refusal> {
        let mut changes = LabelChanges::default();
        for label in self.all("set") {
            let (key, value) = label.split_once(':').expect("key:value");
            changes.set.insert(LabelKey::new(key)?, LabelValue::new(value)?);
        }
        changes.unset = self.all("unset").map(LabelKey::new).collect::<Result<_, _>>()?;
        Ok(changes)
    }

    fn numbers(&self, name: &str) -> impl Iterator<Item = Seq> {
        let listed = self.get(name).into_iter().flat_map(|text| text.split(','));
        listed.map(|number| Seq(number.parse().expect("a number")))
    }

    fn undo(&self) -> Result<Option<Undo>, Refusal> {
        self.get("undo").map(undo).transpose()
    }

    fn policy(&self) -> Result<Policy, Refusal> {
        let mut policy = Policy::default();
        if let Some(ttl) = self.span("ttl") {
            policy.lease_ttl = Ttl::named("policy.lease_ttl", ttl)?;
        }
        if let Some(attempts) = self.parsed("max-attempts") {
            policy.max_attempts = attempts;
        }
        if let Some(text) = self.get("backoff") {
            let parts: Vec<&str> = text.split(',').collect();
            let factor = parts[1].parse().expect("a factor");
            policy.backoff = Backoff { base: span(parts[0]), factor, cap: span(parts[2]) };
        }
        policy.when_spent = match self.get("when-spent") {
            Some("quarantined") => WhenSpent::Quarantined,
            Some("compensated") | None => WhenSpent::Compensated,
            Some(other) => panic!("when-spent={other}"),
        };
        policy.on_lapse = match self.get("on-lapse") {
            Some("hold") => OnLapse::Hold,
            Some("quarantine") => OnLapse::Quarantine,
            Some("either") => OnLapse::Either,
            Some("recover") | None => OnLapse::Recover,
            Some(other) => panic!("on-lapse={other}"),
        };
        policy.on_failure = match self.get("on-failure") {
            Some("quarantine") => OnFailure::Quarantine,
            Some("fail") | None => OnFailure::Fail,
            Some(other) => panic!("on-failure={other}"),
        };
        policy.recover_after = self.span("recover-after");
        policy.stall_after = self.span("stall-after");
        policy.time_limit = self.span("time-limit");
        policy.start_within = self.span("start-within");
        policy.lock_delay = self.span("lock-delay");
        policy.cancel_grace = self.span("cancel-grace");
        Ok(policy)
    }

    /// What a creation takes, without its compensations.
    fn create(&self, now: Time) -> Result<tenure::core::command::Create, Refusal> {
        let mut record = Create::new(self.task()?, IdOrigin::Given);
        record.saga_id = self.get("saga").map(SagaId::new).transpose()?;
        if let Some(queue) = self.get("queue") {
            record.queue = Queue::new(queue)?;
        }
        if let Some(kind) = self.get("kind") {
            record.kind = Kind::new(kind)?;
        }
        for label in self.all("label") {
            let (key, value) = label.split_once(':').expect("key:value");
            record.labels.insert(LabelKey::new(key)?, LabelValue::new(value)?);
        }
        record.payload = self.document("payload")?.unwrap_or_else(Document::null);
        record.priority = self.parsed("priority").unwrap_or(0);
        record.not_before = self.time("not-before", now);
        record.policy = self.policy()?;
        Ok(record)
    }

    fn put(&self, now: Time, stored: Option<&Task>) -> Result<Put, Refusal> {
        let mut put = Put::new(TaskId::new(self.plain(1))?);
        put.record = self.create(now)?;
        put.revision = self.parsed("revision").map(Revision);
        put.state = match self.get("state") {
            Some(word) => State::ALL.into_iter().find(|state| state.as_str() == word).expect("a state"),
            None => State::Planned,
        };
        let reason = self.get("reason").map(Reason::new).transpose()?;
        match self.get("owner").map(Owner::new).transpose()? {
            Some(owner) => {
                let expires_at = self.time("expires", now).expect("expires=+60s");
                let granted_to = self.get("granted-to").map(Actor::new).transpose()?;
                put.holder = Some(PutHolder { owner, granted_to, expires_at });
                put.reason = reason;
            }
            None => put.terminal_reason = reason,
        }
        put.result = self.document("result")?;
        put.created_at = self.time("created-at", now);
        put.finished_at = self.time("finished-at", now);
        put.epoch = self.parsed("epoch").map(Epoch);
        put.attempts = self.parsed("attempts");
        for seq in self.numbers("restate") {
            let restated = stored.and_then(|task| task.compensation(seq)).map(|one| one.undo.clone());
            let unknown = || undo("unknown:number");
            put.compensations.push(PutUndo { seq: Some(seq), undo: restated.map_or_else(unknown, Ok)? });
        }
        for text in self.all("undo") {
            put.compensations.push(PutUndo { seq: None, undo: undo(text)? });
        }
        Ok(put)
    }

    /// The action that the words ask for.
    #[expect(clippy::too_many_lines, reason = "one match over every command")]
    pub fn action(&self, now: Time, stored: Option<&Task>) -> Result<Action, Refusal> {
        let result = || self.document("result");
        Ok(match self.plain(0) {
            "create" => {
                let mut record = self.create(now)?;
                record.compensations = self.all("undo").map(undo).collect::<Result<_, _>>()?;
                Action::Create(Box::new(record))
            }
            "put" => Action::Put(Box::new(self.put(now, stored)?)),
            "dispatch" => Action::Take {
                task: self.task()?,
                take: Take::Dispatch,
                owner: self.owner()?,
                ttl: self.ttl()?,
            },
            "acquire" => Action::Take {
                task: self.task()?,
                take: Take::Acquire,
                owner: self.owner()?,
                ttl: self.ttl()?,
            },
            "reclaim" => Action::Take {
                task: self.task()?,
                take: Take::Reclaim,
                owner: self.owner()?,
                ttl: self.ttl()?,
            },
            "claim" => Action::Claim {
                queue: Queue::new(self.plain(1))?,
                limit: self.parsed("n").unwrap_or(1),
                owner: self.owner()?,
                ttl: self.ttl()?,
            },
            "heartbeat" => HolderAction::Heartbeat {
                ttl: self.ttl()?,
                progress: self.get("progress").map(json::progress).transpose()?,
                checkpoint: self.document("checkpoint")?,
            }
            .on(self.task()?, self.holder()?),
            "progress" => HolderAction::Progress {
                progress: self.get("progress").map(json::progress).transpose()?,
                checkpoint: self.document("checkpoint")?,
            }
            .on(self.task()?, self.holder()?),
            "release" => HolderAction::Release { reason: self.reason()?, delay: self.span("delay") }
                .on(self.task()?, self.holder()?),
            "register" => {
                let by = (self.plain.len() > 3).then(|| self.holder_at(3)).transpose()?;
                let (task, undo) = (self.task()?, undo(self.plain(2))?);
                match by {
                    Some(by) => HolderAction::Register { undo }.on(task, by),
                    None => OperatorAction::Register { undo }.on(task),
                }
            }
            "label" => {
                let (task, changes) = (self.task()?, self.labels()?);
                let reason = self.get("reason").map(Reason::new).transpose()?;
                match (self.plain.len() > 2).then(|| self.holder()).transpose()? {
                    Some(by) => HolderAction::Label { changes }.on(task, by),
                    None => OperatorAction::Label { changes, reason }.on(task),
                }
            }
            "adopt" => HolderAction::Adopt.on(self.task()?, self.holder()?),
            "settle" => HolderAction::Settle {
                seq: self.seq(),
                receipt: Text::named("receipt", self.get("receipt").unwrap_or("done"))?,
            }
            .on(self.task()?, self.holder()?),
            "try" => HolderAction::Try {
                seq: self.seq(),
                error: Text::named("error", self.get("error").unwrap_or("failed"))?,
            }
            .on(self.task()?, self.holder()?),
            "waive" => OperatorAction::Waive { waiver: Waiver { seq: self.seq(), reason: self.reason()? } }
                .on(self.task()?),
            "complete" => HolderAction::Complete { result: result()? }.on(self.task()?, self.holder()?),
            "fail" => HolderAction::Fail { reason: self.reason()?, compensation: self.undo()? }
                .on(self.task()?, self.holder()?),
            "rollback" => HolderAction::RollBack {
                reason: self.reason()?,
                undo_by: if self.has_plain("keep") { UndoBy::Holder } else { UndoBy::Recovery },
            }
            .on(self.task()?, self.holder()?),
            "quarantine" => HolderAction::Quarantine {
                reason: self.reason()?,
                cause: match self.get("parking") {
                    Some("undo_unhandled") => QuarantineCause::UndoUnhandled,
                    Some("undo_failed") => QuarantineCause::UndoFailed,
                    Some(other) => panic!("parking={other}"),
                    None => QuarantineCause::ByHolder,
                },
            }
            .on(self.task()?, self.holder()?),
            other => self.operator_action(other)?,
        })
    }

    fn operator_action(&self, command: &str) -> Result<Action, Refusal> {
        let (task, reason) = (self.task()?, self.reason()?);
        let words = |name| self.get(name).map(|text| Reason::named(name, text)).transpose();
        Ok(match command {
            "mark-completed" => {
                OperatorAction::MarkCompleted { reason, result: self.document("result")? }.on(task)
            }
            "mark-failed" => OperatorAction::MarkFailed { reason, compensation: self.undo()? }.on(task),
            "mark-compensated" => {
                let (waive, settled) = (self.waivers()?, self.receipts()?);
                OperatorAction::MarkCompensated { reason, waive, settled }.on(task)
            }
            "settle-by-hand" => {
                let receipt = Text::named("receipt", self.get("receipt").unwrap_or("done"))?;
                OperatorAction::Settle { done: HandReceipt { seq: self.seq(), receipt }, reason }.on(task)
            }
            "mark-quarantined" => OperatorAction::MarkQuarantined { reason }.on(task),
            "cancel" => OperatorAction::Cancel { reason }.on(task),
            "annotate" => {
                let triage = if self.has_plain("dismiss") { Triage::Dismissed } else { Triage::Stays };
                OperatorAction::Annotate {
                    note: words("note")?,
                    terminal_reason: words("terminal-reason")?,
                    triage,
                }
                .on(task)
            }
            "retry" => {
                let (name, id_origin) = match self.get("as") {
                    Some(name) => (name.to_owned(), IdOrigin::Given),
                    None => (format!("{task}-again"), IdOrigin::Made),
                };
                let (waive, settled) = (self.waivers()?, self.receipts()?);
                let successor = TaskId::new(name)?;
                OperatorAction::Retry { successor, id_origin, reason, waive, settled }.on(task)
            }
            other => panic!("there is no command {other}"),
        })
    }
}

/// `kind:target`.
pub fn undo(text: &str) -> Result<Undo, Refusal> {
    let (kind, target) = text.split_once(':').unwrap_or_else(|| panic!("{text} is not kind:target"));
    Ok(Undo { kind: Kind::new(kind)?, target: Text::named("target", target)?, reason: None })
}

/// A length as stories write it.
pub fn span(text: &str) -> Span {
    parse_span("span", text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

/// `+10s` or `-1h` from now.
pub fn moved(now: Time, text: &str) -> Time {
    match text.split_at(1) {
        ("+", by) => now + span(by),
        ("-", by) => now - span(by),
        _ => panic!("{text} is not +span or -span"),
    }
}
