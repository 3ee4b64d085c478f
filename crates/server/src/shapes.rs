//! The shapes of bodies and answers, for the description of the API. Those of the library are there as they are; what is
//! here exists only on the wire of a server.
//!
//! Nothing is read or written by these: the description is made of them. Tests compare real answers with the description.

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
    Claimable, EventPage as Events, Lapsed, NamespaceList as Namespaces, Newest, NowAnswer as Now,
    Remembered, TaskAnswer as OneTask, TaskPage as Tasks, Watch as Watched,
};
pub(crate) use tenure::api::overview::{
    OwnerList as Owners, Presence as PresenceBody, StatsAnswer as Stats, WatchersAnswer as Watchers,
};
pub(crate) use tenure::api::recovery::Recovered;
use tenure::api::schema::one_of;
pub(crate) use tenure::api::task::Task;
pub(crate) use tenure::api::token::{NewToken, Token as OneToken, TokenBody, TokenName, Tokens as TokenList};
pub(crate) use tenure::api::why::WhyAnswer as Why;

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
    /// What a claim was granted.
    Granted {
        /// The tasks, in the order in which they were next.
        tasks: Vec<AnyTask>,
    }
    /// A renewal, and the task right after it.
    Renewed {
        /// The task.
        task: Option<Task>,
        /// What the holder is told.
        renewal: Renewal,
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
    /// Many commands.
    CommandsBody {
        /// Decided in their order, each by itself.
        commands: Vec<CommandBody>,
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
