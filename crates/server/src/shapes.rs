//! The shapes of request bodies and responses, for the API description. The library's shapes are used as they are;
//! these exist only on a server.
//!
//! Nothing is read or written with them: the description is made from them. Tests compare real responses with it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use tenure::record::DurationInput;
pub(crate) use tenure::record::read::{
    ChainAnswerShape as OneChain, ChainsShape as Chains, ClaimableShape as Claimable, EventsShape as Events,
    LapsedShape as Lapsed, NamespacesShape as Namespaces, NewestShape as Newest, NowShape as Now,
    OwnersShape as Owners, PresenceShape as PresenceBody, RememberedShape as Remembered, StatsShape as Stats,
    TaskAnswerShape as OneTask, TaskShape, TasksShape as Tasks, WatchShape as Watched,
    WatchersAnswerShape as Watchers,
};
use tenure::record::read::{RefusalShape, RenewalShape, SaidShape};
use tenure::record::schema::{CauseWord, NextWord, OutcomeWord, RoleWord, StateWord, VerbWord, one_of};

/// Only the derive macro reads the fields of shapes.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[allow(dead_code)]
        pub(crate) struct $name { $($(#[$of_field])* $field: $type,)* }
    )* };
}

shapes! {
    /// The process answers.
    Live {
        /// Always `true`.
        live: bool,
    }
    /// Whether the server is ready.
    Ready {
        /// `true` if it is ready.
        ready: bool,
        /// What the store allows: everything, only reading, or nothing.
        store: StoreWord,
        /// Whether the server is stopping.
        stopping: bool,
        /// Why it is not ready, if known.
        because: Option<String>,
    }
    /// The task after a command.
    AnsweredTask {
        /// The task; after a retry, the new task.
        task: AnyTask,
        /// The old task, after a retry.
        retried: Option<AnyTask>,
    }
    /// The fields that are needed to continue with a task, named as in a whole task.
    MinimalTask {
        /// Its id.
        id: String,
        /// Its namespace.
        namespace: String,
        /// Its state.
        state: StateWord,
        /// Why it ended; null before that.
        #[schema(required)]
        cause: Option<CauseWord>,
        /// The number of attempts.
        attempts: u32,
        /// The epoch of its newest lease.
        epoch: u64,
        /// The number of its newest event.
        revision: u64,
        /// How many compensations are owed.
        owed: u32,
        /// The number of its newest compensation: after a register, of the new one.
        #[schema(required)]
        newest_seq: Option<u32>,
        /// The holder.
        lease: Option<MinimalLease>,
        /// When it changed last.
        #[schema(format = DateTime)]
        updated_at: String,
    }
    /// The holder of a task, and when the lease ends.
    MinimalLease {
        /// The owner.
        owner: String,
        /// The epoch of the lease.
        epoch: u64,
        /// When the lease ends.
        #[schema(format = DateTime)]
        expires_at: String,
    }
    /// The answer to one of many commands.
    CommandAnswer {
        /// The task after the command; after a retry, the new task.
        task: Option<AnyTask>,
        /// The tasks that a claim was granted.
        tasks: Option<Vec<AnyTask>>,
        /// The answer to a heartbeat or a progress.
        renewal: Option<RenewalShape>,
        /// The old task, after a retry.
        retried: Option<AnyTask>,
        /// The refusal.
        refusal: Option<RefusalShape>,
        /// The command was not done; it can be tried again.
        unavailable: Option<SaidShape>,
        /// The stored data is inconsistent; nothing was done.
        corrupt: Option<SaidShape>,
        /// It is unknown whether the command was done.
        unknown: Option<SaidShape>,
    }
    /// The answers to many commands, in order.
    CommandAnswers {
        /// One answer for each command.
        answers: Vec<CommandAnswer>,
    }
    /// The tasks that a claim was granted.
    Granted {
        /// The tasks, in claim order.
        tasks: Vec<AnyTask>,
    }
    /// A task, and an explanation of its state.
    Why {
        /// The task.
        task: TaskShape,
        /// The explanation in one sentence.
        why: String,
        /// What happens next by itself, or becomes possible.
        #[schema(required)]
        next: Option<NextStep>,
        /// The notes, oldest first.
        notes: Vec<NoteOnTask>,
    }
    /// A note on a task.
    NoteOnTask {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// The actor.
        by: String,
        /// The text of the note.
        note: String,
        /// Whether the note dismisses the task.
        dismisses: bool,
    }
    /// The next step of a task.
    NextStep {
        /// What happens.
        what: NextWord,
        /// When.
        #[schema(format = DateTime)]
        at: String,
    }
    /// A renewal, and the task right after it.
    Renewed {
        /// The task.
        task: Option<TaskShape>,
        /// The renewal.
        renewal: RenewalShape,
    }
    /// A heartbeat among many.
    OneHeartbeat {
        /// The task.
        id: String,
        /// The holder of the lease.
        owner: String,
        /// The epoch of the lease.
        epoch: u64,
        /// How long the lease lasts from now on. Default: its length at the grant.
        ttl: Option<DurationInput>,
        /// Progress of the work, as JSON.
        progress: Option<Value>,
        /// A checkpoint for the next holder, as JSON.
        checkpoint: Option<Value>,
    }
    /// Many heartbeats.
    HeartbeatsBody {
        /// The heartbeats; each is decided separately.
        heartbeats: Vec<OneHeartbeat>,
    }
    /// The answer to one of many heartbeats: the new end of the lease, or why it was not extended.
    OneHeartbeatAnswer {
        /// The task.
        id: Option<String>,
        /// The epoch of the lease.
        epoch: Option<u64>,
        /// When the lease ends now.
        #[schema(format = DateTime)]
        expires_at: Option<String>,
        /// Whether a cancel was asked for.
        cancel: Option<bool>,
        /// The refusal.
        refusal: Option<RefusalShape>,
        /// The command was not done; it can be tried again.
        unavailable: Option<SaidShape>,
        /// The stored data is inconsistent; nothing was done.
        corrupt: Option<SaidShape>,
        /// It is unknown whether the command was done.
        unknown: Option<SaidShape>,
    }
    /// The answers to many heartbeats, in order.
    HeartbeatAnswers {
        /// One answer for each heartbeat.
        answers: Vec<OneHeartbeatAnswer>,
    }
    /// Many commands.
    CommandsBody {
        /// The commands; each is decided separately, in order.
        commands: Vec<CommandBody>,
    }
    /// An anchor of the history.
    AnchorAnswer {
        /// The anchor.
        anchor: Anchor,
    }
    /// The heads of all histories at one moment.
    Anchor {
        /// The cursor of the last event that it covers.
        cursor: String,
        /// The Merkle root over all lines: it shows whether they were changed.
        root: String,
        /// One line for each task.
        lines: Vec<AnchorLine>,
    }
    /// The head of the history of one task.
    AnchorLine {
        /// The namespace of the task.
        namespace: String,
        /// The task.
        id: String,
        /// The number of its newest event.
        number: u64,
        /// The hash of its newest event.
        head: String,
    }
    /// The result of a verification.
    ReportAnswer {
        /// The report.
        report: Report,
    }
    /// The result of verifying a history.
    Report {
        /// Whether the history is intact.
        holds: bool,
        /// The number of verified tasks.
        tasks: u64,
        /// The number of verified events.
        events: u64,
        /// The problems found.
        findings: Vec<Finding>,
    }
    /// A problem in a history.
    Finding {
        /// The task.
        task: String,
        /// The number of the event, if the problem is about one.
        #[schema(required)]
        number: Option<i64>,
        /// A description of the problem.
        message: String,
    }
    /// The result of recovery, or its plan.
    Recovered {
        /// The counts.
        report: Option<SweepReport>,
        /// The handled tasks.
        tended: Option<Vec<TendedTask>>,
        /// The plan, if requested.
        planned: Option<Vec<PlannedTask>>,
    }
    /// The counts of a sweep.
    SweepReport {
        /// The number of handled tasks.
        tended: u64,
        /// The number of undone compensations.
        undone: u64,
        /// The number of tasks for each outcome; every outcome is present.
        outcomes: BTreeMap<String, u64>,
    }
    /// A task that recovery handled.
    TendedTask {
        /// The namespace of the task.
        namespace: String,
        /// The task.
        task: String,
        /// The outcome.
        outcome: OutcomeWord,
        /// The compensations that were undone, in order.
        undone: Vec<UndoneCompensation>,
        /// Why it was parked or left, if it was.
        #[schema(required)]
        because: Option<String>,
    }
    /// A compensation that was undone.
    UndoneCompensation {
        /// The number of the compensation.
        seq: u32,
        /// Which handler undid it.
        kind: String,
        /// The target.
        target: String,
        /// The receipt.
        receipt: String,
    }
    /// A stale task, and what recovery would do with it.
    PlannedTask {
        /// The namespace of the task.
        namespace: String,
        /// The task.
        task: String,
        /// Its state.
        state: StateWord,
        /// When recovery may reclaim it.
        #[schema(format = DateTime)]
        due_at: String,
        /// Its state after that.
        becomes: StateWord,
        /// What would be undone, in order.
        undo: Vec<PlannedUndo>,
        /// Why it would be parked, if it would.
        #[schema(required)]
        because: Option<String>,
        /// The plan in one sentence.
        why: String,
    }
    /// A compensation that would be undone.
    PlannedUndo {
        /// The number of the compensation.
        seq: u32,
        /// Which handler undoes it.
        kind: String,
        /// What is undone.
        target: String,
        /// The number of failed tries.
        tries: u32,
    }
    /// A token to create.
    TokenBody {
        /// The name of the token: the actor of its commands.
        name: String,
        /// `reader`, `worker`, `operator` or `admin`.
        role: RoleWord,
        /// Its namespaces, or `*` alone for all. Default: `default`.
        namespaces: Option<Vec<String>>,
        /// How long it is valid, such as `90d`. Default: until it is revoked.
        expires: Option<DurationInput>,
        /// The SHA-256 of a secret that the client made itself, in hexadecimal digits. The response then
        /// contains no secret.
        hash: Option<String>,
        /// Who creates it, while no token exists.
        #[schema(rename = "as")]
        by: Option<String>,
    }
    /// A token by its name.
    TokenName {
        /// The name; it can also be given in the query.
        name: Option<String>,
        /// Who revokes it, while no token exists.
        #[schema(rename = "as")]
        by: Option<String>,
    }
    /// All tokens.
    TokenList {
        /// The version of the list: it changes with every change of a token.
        version: u64,
        /// The tokens in the order of their creation.
        tokens: Vec<ListedToken>,
    }
}

/// Declares token shapes with their common fields.
macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* })*) => { shapes! { $(
        $(#[$doc])*
        $name {
            $($(#[$of_field])* $field: $type,)*
            /// The name of the token: the actor of its commands.
            name: String,
            /// The role.
            role: RoleWord,
            /// The namespaces.
            namespaces: Vec<String>,
            /// When it was created.
            #[schema(format = DateTime)]
            created_at: String,
            /// Who created it.
            created_by: String,
            /// When it expires; null: it does not expire.
            #[schema(format = DateTime, required)]
            expires_at: Option<String>,
            /// When it was revoked; null if it was not.
            #[schema(format = DateTime, required)]
            revoked_at: Option<String>,
            /// Who revoked it.
            #[schema(required)]
            revoked_by: Option<String>,
        }
    )* } };
}

tokens! {
    /// A token; its secret is not stored.
    OneToken {}
    /// A new token.
    NewToken {
        /// The secret, to be sent as `Authorization: Bearer …`. It is shown only in this response. Missing if
        /// the client made it itself.
        token: Option<String>,
    }
    /// A token in a list.
    ListedToken {
        /// The SHA-256 of its secret, in hexadecimal digits.
        hash: String,
    }
}

/// What the store allows.
pub(crate) struct StoreWord;

impl PartialSchema for StoreWord {
    fn schema() -> RefOr<Schema> {
        let words = ["answers", "reads_only", "away"];
        one_of("What the store allows now: everything, only reading, or nothing.", words)
    }
}

impl ToSchema for StoreWord {
    fn name() -> Cow<'static, str> {
        "StoreState".into()
    }
}

/// A task, whole or in its minimal form.
pub(crate) struct AnyTask;

impl PartialSchema for AnyTask {
    fn schema() -> RefOr<Schema> {
        let whole = Ref::from_schema_name(TaskShape::name());
        AnyOfBuilder::new().item(whole).item(Ref::from_schema_name(MinimalTask::name())).into()
    }
}

impl ToSchema for AnyTask {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((TaskShape::name().into_owned(), TaskShape::schema()));
        schemas.push((MinimalTask::name().into_owned(), MinimalTask::schema()));
        TaskShape::schemas(schemas);
        MinimalTask::schemas(schemas);
    }
}

/// One of many commands: the body of its route, with the parts of the path as fields.
pub(crate) struct CommandBody;

impl PartialSchema for CommandBody {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        ObjectBuilder::new()
            .description(Some("The fields of its route's body, and these."))
            .property("verb", Ref::from_schema_name(VerbWord::name()))
            .property("task", text().description(Some("The id of the task.")))
            .property("seq", ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)))
            .property(
                "request_id",
                text().description(Some("Its request id: a repeat gets the first answer again.")),
            )
            .required("verb")
            .into()
    }
}

impl ToSchema for CommandBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((VerbWord::name().into_owned(), VerbWord::schema()));
    }
}

/// A whole record, as a task is shown. Derived fields are ignored.
pub(crate) struct PutBody;

impl PartialSchema for PutBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().description(Some("A task as it is shown, or a part of it.")).into()
    }
}

impl ToSchema for PutBody {}

/// Text for people or for other programs.
pub(crate) struct Plain;

impl PartialSchema for Plain {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).into()
    }
}

impl ToSchema for Plain {}

/// Any JSON object.
pub(crate) struct Anything;

impl PartialSchema for Anything {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().into()
    }
}

impl ToSchema for Anything {}
