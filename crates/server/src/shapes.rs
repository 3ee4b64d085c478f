//! The shapes of request bodies and responses, for the API description. The library's shapes are used as they are;
//! these exist only on a server.
//!
//! Nothing is read or written with them: the description is made from them. Tests compare real responses with it.

use std::borrow::Cow;

use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

pub(crate) use tenure::api::answer::{Answers as CommandAnswers, AnyTask, HeartbeatAnswers, Renewal};
pub(crate) use tenure::api::audit::{AnchorAnswer, ReportAnswer};
pub(crate) use tenure::api::chain::{ChainAnswer as OneChain, ChainPage as Chains};
use tenure::api::command::VerbWord;
use tenure::api::duration::DurationInput;
pub(crate) use tenure::api::list::{
    Claimable, EventPage as Events, HistoryPage as History, Lapsed, NamespaceList as Namespaces, Newest,
    NowAnswer as Now, Remembered, TaskAnswer as OneTask, TaskPage as Tasks, Watch as Watched,
};
pub(crate) use tenure::api::overview::{
    OwnerList as Owners, Presence as PresenceBody, StatsAnswer as Stats, WatchersAnswer as Watchers,
};
pub(crate) use tenure::api::recovery::{Recovered, SweepBody, SweepNoted};
pub(crate) use tenure::api::retention::{
    AnchorRecords, CursorAnswer, CursorBody, CursorList, PrunedAnswer, PrunedPage,
};
use tenure::api::schema::one_of;
pub(crate) use tenure::api::task::Task;
pub(crate) use tenure::api::token::{NewToken, Token as OneToken, TokenBody, TokenName, Tokens as TokenList};
pub(crate) use tenure::api::why::WhyAnswer as Why;

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
    /// The tasks that a claim was granted.
    Granted {
        /// The tasks, in claim order.
        tasks: Vec<AnyTask>,
    }
    /// A renewal, and the task right after it.
    Renewed {
        /// The task.
        task: Option<Task>,
        /// The renewal.
        renewal: Renewal,
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
    /// Many commands.
    CommandsBody {
        /// The commands; each is decided separately, in order.
        commands: Vec<CommandBody>,
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

/// What a merge patch changes of a record.
pub(crate) struct PatchBody;

impl PartialSchema for PatchBody {
    fn schema() -> RefOr<Schema> {
        let words = "A part of a task as it is shown: what is named is changed, `null` gives a default back, the rest stays. \
                     Lists are replaced as a whole.";
        ObjectBuilder::new().description(Some(words)).into()
    }
}

impl ToSchema for PatchBody {}

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
