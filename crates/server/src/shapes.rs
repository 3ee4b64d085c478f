//! The shapes of bodies and answers, for the description of the API. Those of the library are there as they are; what is
//! here exists only on the wire of a server.
//!
//! Nothing is read or written by these: the description is made of them, and a test compares them with real answers.

use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

pub(crate) use tenure::record::read::{
    ChainAnswerShape as OneChain, ChainsShape as Chains, ClaimableShape as Claimable, EventsShape as Events,
    LapsedShape as Lapsed, NamespacesShape as Namespaces, NewestShape as Newest, NowShape as Now,
    OwnersShape as Owners, PresenceShape as PresenceBody, RememberedShape as Remembered, StatsShape as Stats,
    TaskAnswerShape as OneTask, TaskShape, TasksShape as Tasks, WatchShape as Watched,
    WatchersAnswerShape as Watchers,
};
use tenure::record::read::{RefusalShape, RenewalShape, SaidShape};

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
        /// `answers`, `reads_only` while nothing can be written, or `away`.
        store: String,
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
        state: String,
        /// Why it ended.
        cause: Option<String>,
        /// How often it was tried.
        attempts: u32,
        /// The epoch of its newest lease.
        epoch: u64,
        /// The number of its newest event.
        revision: u64,
        /// How many compensations are owed.
        owed: u32,
        /// The number of its newest compensation: of the one that was just registered.
        newest_seq: Option<u32>,
        /// Who holds it.
        lease: Option<MinimalLease>,
        /// When it changed last.
        updated_at: String,
    }
    /// Who holds a task, and until when.
    MinimalLease {
        /// Who.
        owner: String,
        /// The lease's number.
        epoch: u64,
        /// Until when.
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
        next: Option<NextStep>,
        /// What people noted, the oldest first.
        notes: Vec<NoteOnTask>,
    }
    /// What somebody noted on a task.
    NoteOnTask {
        /// When.
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
        /// `due`, `lapse` or `reclaim`.
        what: String,
        /// When.
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
        ttl: Option<String>,
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
    Anchor {
        /// It.
        anchor: Value,
    }
    /// What a verification saw.
    Report {
        /// It: `holds`, `tasks`, `events`, `findings`.
        report: Value,
    }
    /// What recovery did, or would do.
    Recovered {
        /// What it came to.
        report: Option<Value>,
        /// The tasks that were looked after.
        tended: Option<Vec<Value>>,
        /// What would be done, where that was asked for.
        planned: Option<Vec<Value>>,
    }
    /// A token to be made.
    TokenBody {
        /// Who acts with it.
        name: String,
        /// `reader`, `worker`, `operator` or `admin`.
        role: String,
        /// Where it is of use: names, or `*` alone for all; else `default`.
        namespaces: Option<Vec<String>>,
        /// How long it is of use, such as `90d`; else until it is revoked.
        expires: Option<String>,
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
    /// A token; its secret is kept nowhere.
    OneToken {
        /// Who acts with it.
        name: String,
        /// What it may be used for.
        role: String,
        /// Where.
        namespaces: Vec<String>,
        /// When it was made.
        created_at: String,
        /// By whom.
        created_by: String,
        /// From when on it is of no use.
        expires_at: Option<String>,
        /// When it was revoked.
        revoked_at: Option<String>,
    }
    /// A new token with its secret, which is shown here and never again.
    NewToken {
        /// The secret, to be sent as `Authorization: Bearer …`.
        token: String,
        /// Who acts with it.
        name: String,
        /// What it may be used for.
        role: String,
        /// Where.
        namespaces: Vec<String>,
        /// When it was made.
        created_at: String,
        /// By whom.
        created_by: String,
        /// From when on it is of no use.
        expires_at: Option<String>,
        /// When it was revoked.
        revoked_at: Option<String>,
    }
    /// Every token.
    TokenList {
        /// In the order in which they were made.
        tokens: Vec<OneToken>,
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
        let words = tenure::record::command::Verb::ALL.map(tenure::record::command::Verb::as_str);
        ObjectBuilder::new()
            .description(Some("The fields of the body of its route, and these."))
            .property("verb", text().enum_values(Some(words)))
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

impl ToSchema for CommandBody {}

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
