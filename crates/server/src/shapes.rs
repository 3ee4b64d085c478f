//! The shapes of bodies and answers, for the description of the API. Those of the library are there as they are; what is
//! here exists only on the wire of a server.
//!
//! Nothing is read or written by these: the description is made of them. Tests compare real answers with the description.

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

/// Fields of shapes are looked at by the derive alone.
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
        /// Always so.
        live: bool,
    }
    /// Whether it can serve.
    Ready {
        /// It can.
        ready: bool,
        /// What can be done with it: everything, only reading, or nothing.
        store: StoreWord,
        /// Whether it is about to end.
        stopping: bool,
        /// Why it can't, where that is known.
        because: Option<String>,
    }
    /// The task that a command left.
    AnsweredTask {
        /// The task; after a retry the new one.
        task: AnyTask,
        /// The old task, after a retry.
        retried: Option<AnyTask>,
    }
    /// What of a task is needed to go on with it. Its fields are those of a whole one.
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
        /// How often it was tried.
        attempts: u32,
        /// The epoch of its newest lease.
        epoch: u64,
        /// The number of its newest event.
        revision: u64,
        /// How many compensations are owed.
        owed: u32,
        /// The number of its newest compensation: of the one that was just registered.
        #[schema(required)]
        newest_seq: Option<u32>,
        /// Who holds it.
        lease: Option<MinimalLease>,
        /// When it changed last.
        #[schema(format = DateTime)]
        updated_at: String,
    }
    /// Who holds a task, and until when.
    MinimalLease {
        /// Who.
        owner: String,
        /// The lease's number.
        epoch: u64,
        /// Until when.
        #[schema(format = DateTime)]
        expires_at: String,
    }
    /// What a command among many came to.
    CommandAnswer {
        /// The task afterwards; after a retry the new one.
        task: Option<AnyTask>,
        /// What a claim was granted.
        tasks: Option<Vec<AnyTask>>,
        /// What a heartbeat or a progress is told.
        renewal: Option<RenewalShape>,
        /// The old task, after a retry.
        retried: Option<AnyTask>,
        /// The expected "no".
        refusal: Option<RefusalShape>,
        /// Surely not done.
        unavailable: Option<SaidShape>,
        /// What is stored contradicts itself; nothing was done.
        corrupt: Option<SaidShape>,
        /// Maybe done.
        unknown: Option<SaidShape>,
    }
    /// What each of many commands came to, in their order.
    CommandAnswers {
        /// One for each command.
        answers: Vec<CommandAnswer>,
    }
    /// What a claim was granted.
    Granted {
        /// The tasks, in the order in which they were next.
        tasks: Vec<AnyTask>,
    }
    /// A task, and why it is where it is.
    Why {
        /// The task.
        task: TaskShape,
        /// One sentence.
        why: String,
        /// What happens next by itself, or becomes possible.
        #[schema(required)]
        next: Option<NextStep>,
        /// What people noted, the oldest first.
        notes: Vec<NoteOnTask>,
    }
    /// What somebody noted on a task.
    NoteOnTask {
        /// When.
        #[schema(format = DateTime)]
        at: String,
        /// Who.
        by: String,
        /// What it says.
        note: String,
        /// Whether it says that nobody has to look at the task any more.
        dismisses: bool,
    }
    /// What happens next.
    NextStep {
        /// The next step.
        what: NextWord,
        /// When.
        #[schema(format = DateTime)]
        at: String,
    }
    /// A renewal, and the task right after it.
    Renewed {
        /// The task.
        task: Option<TaskShape>,
        /// What the holder is told.
        renewal: RenewalShape,
    }
    /// A heartbeat among many.
    OneHeartbeat {
        /// The task.
        id: String,
        /// Who holds the lease.
        owner: String,
        /// Its number.
        epoch: u64,
        /// How long it lasts from now on; else as long as when it was granted.
        ttl: Option<DurationInput>,
        /// How far the work is.
        progress: Option<Value>,
        /// What a successor needs to go on.
        checkpoint: Option<Value>,
    }
    /// Many heartbeats.
    HeartbeatsBody {
        /// Each by itself.
        heartbeats: Vec<OneHeartbeat>,
    }
    /// What a heartbeat among many is told: the new end, or why not.
    OneHeartbeatAnswer {
        /// The task.
        id: Option<String>,
        /// The lease's number.
        epoch: Option<u64>,
        /// When it ends now.
        #[schema(format = DateTime)]
        expires_at: Option<String>,
        /// Whether somebody asked for the task to stop.
        cancel: Option<bool>,
        /// The expected "no".
        refusal: Option<RefusalShape>,
        /// Surely not done.
        unavailable: Option<SaidShape>,
        /// What is stored contradicts itself; nothing was done.
        corrupt: Option<SaidShape>,
        /// Maybe done.
        unknown: Option<SaidShape>,
    }
    /// What many heartbeats are told, in their order.
    HeartbeatAnswers {
        /// One for each.
        answers: Vec<OneHeartbeatAnswer>,
    }
    /// Many commands.
    CommandsBody {
        /// Decided in their order, each by itself.
        commands: Vec<CommandBody>,
    }
    /// What to remember of the history.
    AnchorAnswer {
        /// The anchor.
        anchor: Anchor,
    }
    /// The heads of all histories at one time.
    Anchor {
        /// Up to which event.
        cursor: String,
        /// The hash of all lines: who keeps it can tell whether they were changed.
        root: String,
        /// One for each task.
        lines: Vec<AnchorLine>,
    }
    /// The head of the history of one task.
    AnchorLine {
        /// Where the task is.
        namespace: String,
        /// The task.
        id: String,
        /// The number of its newest event.
        number: u64,
        /// The hash of its newest event.
        head: String,
    }
    /// What a verification saw.
    ReportAnswer {
        /// The report.
        report: Report,
    }
    /// Whether a history holds.
    Report {
        /// Whether nothing was found.
        holds: bool,
        /// How many tasks were looked at.
        tasks: u64,
        /// How many events.
        events: u64,
        /// What does not hold.
        findings: Vec<Finding>,
    }
    /// Something that does not hold.
    Finding {
        /// The task.
        task: String,
        /// The number of the event, where it is about one.
        #[schema(required)]
        number: Option<i64>,
        /// What was found.
        message: String,
    }
    /// What recovery did, or would do.
    Recovered {
        /// What it came to.
        report: Option<SweepReport>,
        /// The tasks that were looked after.
        tended: Option<Vec<TendedTask>>,
        /// What would be done, where that was asked for.
        planned: Option<Vec<PlannedTask>>,
    }
    /// What a sweep came to.
    SweepReport {
        /// How many tasks were looked after.
        tended: u64,
        /// How many compensations were undone.
        undone: u64,
        /// How many tasks for each outcome; every outcome is there.
        outcomes: BTreeMap<String, u64>,
    }
    /// A task that recovery looked after.
    TendedTask {
        /// Where it is.
        namespace: String,
        /// The task.
        task: String,
        /// What became of it.
        outcome: OutcomeWord,
        /// What was undone.
        undone: Vec<UndoneCompensation>,
        /// Why it was parked or left, where it was.
        #[schema(required)]
        because: Option<String>,
    }
    /// A compensation that was undone.
    UndoneCompensation {
        /// Its number.
        seq: u32,
        /// Which handler undid it.
        kind: String,
        /// What was undone.
        target: String,
        /// What was left as proof.
        receipt: String,
    }
    /// A stale task, and what would become of it.
    PlannedTask {
        /// Where it is.
        namespace: String,
        /// The task.
        task: String,
        /// Its state.
        state: StateWord,
        /// From when on recovery may take it up.
        #[schema(format = DateTime)]
        due_at: String,
        /// The state that it would have.
        becomes: StateWord,
        /// What would be undone, in that order.
        undo: Vec<PlannedUndo>,
        /// Why it would be parked, where it would.
        #[schema(required)]
        because: Option<String>,
        /// The same in a sentence.
        why: String,
    }
    /// A compensation that would be undone.
    PlannedUndo {
        /// Its number.
        seq: u32,
        /// Which handler undoes it.
        kind: String,
        /// What is undone.
        target: String,
        /// How often that was tried in vain.
        tries: u32,
    }
    /// A token to be made.
    TokenBody {
        /// Who acts with it.
        name: String,
        /// `reader`, `worker`, `operator` or `admin`.
        role: RoleWord,
        /// Where it is of use: names, or `*` alone for all; else `default`.
        namespaces: Option<Vec<String>>,
        /// How long it is of use, such as `90d`; else until it is revoked.
        expires: Option<DurationInput>,
        /// The SHA-256 of a secret that the caller has drawn, in hexadecimal digits; then the answer has none.
        hash: Option<String>,
        /// Who makes it, while no token exists.
        #[schema(rename = "as")]
        by: Option<String>,
    }
    /// A token by its name.
    TokenName {
        /// The name; or give it in the query.
        name: Option<String>,
        /// Who revokes it, while no token exists.
        #[schema(rename = "as")]
        by: Option<String>,
    }
    /// Every token.
    TokenList {
        /// Counts the changes of them: the same number, the same tokens.
        version: u64,
        /// In the order in which they were made.
        tokens: Vec<ListedToken>,
    }
}

/// Tokens, each with what all of them have.
macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* })*) => { shapes! { $(
        $(#[$doc])*
        $name {
            $($(#[$of_field])* $field: $type,)*
            /// Who acts with it.
            name: String,
            /// What it may be used for.
            role: RoleWord,
            /// Where.
            namespaces: Vec<String>,
            /// When it was made.
            #[schema(format = DateTime)]
            created_at: String,
            /// By whom.
            created_by: String,
            /// From when on it is of no use; null: until it is revoked.
            #[schema(format = DateTime, required)]
            expires_at: Option<String>,
            /// When it was revoked; null: it was not.
            #[schema(format = DateTime, required)]
            revoked_at: Option<String>,
            /// Who revoked it.
            #[schema(required)]
            revoked_by: Option<String>,
        }
    )* } };
}

tokens! {
    /// A token; its secret is kept nowhere.
    OneToken {}
    /// A token that was just made.
    NewToken {
        /// The secret, to be sent as `Authorization: Bearer …`. It is shown here and never again. Left out where the caller
        /// has drawn it.
        token: Option<String>,
    }
    /// A token in a list.
    ListedToken {
        /// The SHA-256 of its secret, in hexadecimal digits.
        hash: String,
    }
}

/// What can be done with the store.
pub(crate) struct StoreWord;

impl PartialSchema for StoreWord {
    fn schema() -> RefOr<Schema> {
        let words = ["answers", "reads_only", "away"];
        one_of("What can be done with the store: everything, only reading, or nothing.", words)
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

/// A command among many: the body of its route, with what the path says there.
pub(crate) struct CommandBody;

impl PartialSchema for CommandBody {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        ObjectBuilder::new()
            .description(Some("The fields of the body of its route, and these."))
            .property("verb", Ref::from_schema_name(VerbWord::name()))
            .property("task", text().description(Some("The task that it is about.")))
            .property("seq", ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)))
            .property(
                "request_id",
                text().description(Some("Names it, so that a repeat is answered as the first was.")),
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

/// A whole record, as a task is shown; what follows from the rest is passed over.
pub(crate) struct PutBody;

impl PartialSchema for PutBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().description(Some("A task as it is shown, or with less in it.")).into()
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
