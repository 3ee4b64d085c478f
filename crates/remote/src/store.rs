//! The store itself: sends commands and questions to servers.

mod retaining;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tenure_api as api;
use tenure_api::duration::DurationInput;
use tenure_api::recovery::{SweepBody, SweepNoted};
use tenure_api::token::{TokenBody, TokenName};
use tenure_api::{from_json, to_json};
use tenure_core::command::Command;
use tenure_core::event::Subject;
use tenure_core::id::{Actor, Namespace, Queue, RequestId, Revision, TaskId};
use tenure_core::refusal::Code;
use tenure_core::task::Task;
use tenure_core::time::{Span, Time};
use tenure_store::Error;
use tenure_store::RetentionStore;
use tenure_store::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure_store::answering::{AnswerOptions, Answered};
use tenure_store::entropy::{Entropy, SystemEntropy};
use tenure_store::namespace_history::SweepNote;
use tenure_store::overview::{Holding, Overview};
use tenure_store::size::{chain_bytes, event_bytes, task_bytes};
use tenure_store::stored::StoredChain;
use tenure_store::waiting::LOOK_APART;
use tenure_store::watch::{Absence, Presence, Watchers};
use tenure_store::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize, Recorded,
    Store,
};

use crate::batch::Sender;
use crate::endpoints::Endpoints;
use crate::timeouts::Timeouts;
use crate::wire::{self, Asking, Idempotency, Query, RequestError, Wire};

/// The maximum size of a page over the network.
const PAGE_MAX: usize = 1_000;
/// And of a page of chains, which contain whole histories.
const CHAINS_MAX: usize = 100;
/// How long a server waits for an event before it answers without one.
const WAIT: Duration = Duration::from_secs(30);

/// Options for reaching servers.
#[derive(Clone)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// `http://a:7117,b:7117`, or `https://…?ca=FILE`; also with `patience=30s`.
    pub url: String,
    /// The token; none if the servers need none.
    pub token: Option<String>,
    /// Where request ids come from.
    pub entropy: Arc<dyn Entropy>,
}

tenure_core::with_changes!(RemoteOptions);

impl RemoteOptions {
    /// The servers, without a token.
    pub fn new(url: impl Into<String>) -> RemoteOptions {
        RemoteOptions { url: url.into(), token: None, entropy: Arc::new(SystemEntropy) }
    }
}

/// A store that is reached through servers.
pub struct RemoteStore {
    wire: Arc<Wire>,
    sender: Sender,
}

impl RemoteStore {
    /// Prepares the client; it sends no request yet.
    pub fn open(options: RemoteOptions) -> Result<RemoteStore, Error> {
        RemoteStore::with(options, Timeouts::default())
    }

    pub(crate) fn with(options: RemoteOptions, limits: Timeouts) -> Result<RemoteStore, Error> {
        let RemoteOptions { url, token, entropy } = options;
        let places = Endpoints::read(&url)?;
        let limits = places.patience.map_or(limits, |patience| limits.with_patience(patience));
        let wire = Wire::start(places, token.as_deref(), Arc::clone(&entropy), limits)?;
        let sender = Sender::start(Arc::clone(&wire), entropy);
        Ok(RemoteStore { wire, sender })
    }

    async fn get<A: DeserializeOwned>(&self, path: String, query: Query<'_>) -> Result<A, Error> {
        self.look::<A>(format!("{path}{query}"), Asking::Now).await.map_err(told)
    }

    async fn look<A: DeserializeOwned>(&self, path: String, asking: Asking) -> Result<A, RequestError> {
        let text = self.wire.get(path, asking).await?;
        from_json::<A>(&text).map_err(|what| RequestError::Final(wire::foreign(what)))
    }

    /// As many items as requested, from as many pages as needed, or fewer if they are too large together. A
    /// page that is too large for one response is requested in smaller parts.
    async fn pages<A: DeserializeOwned, T>(
        &self,
        path: &str,
        query: &Query<'_>,
        (name, after): (&'static str, Option<Cursor>),
        (size, mut page_max, bytes_of): (PageSize, usize, fn(&T) -> usize),
    ) -> Result<Page<T>, Error>
    where
        Page<T>: TryFrom<A, Error = String>,
    {
        let (limit, mut next, mut bytes) = (size.items.max(1), after, 0_usize);
        let (mut items, mut unreadable) = (Vec::new(), Vec::new());
        loop {
            let asked = (limit - items.len()).min(page_max);
            let page = query.clone().with("limit", Some(asked)).with(name, next.as_ref().map(Cursor::as_str));
            let page = match self.look::<A>(format!("{path}{page}"), Asking::Now).await {
                Ok(page) => Page::try_from(page).map_err(wire::foreign)?,
                Err(RequestError::TooLarge(_)) if asked > 1 => {
                    page_max = asked / 2;
                    continue;
                }
                Err(fault) => return Err(told(fault)),
            };
            // Items that the caller may not see are missing in its pages, so only the end of the list is the
            // end.
            let is_short = page.items.len() < asked && !page.is_cut;
            let has_moved = page.next.is_some() && page.next != next;
            bytes += page.items.iter().map(bytes_of).sum::<usize>();
            items.extend(page.items);
            unreadable.extend(page.unreadable);
            next = page.next;
            let is_whole = items.len() >= limit || !has_moved || (is_short && name == "after");
            if is_whole || bytes >= size.bytes {
                return Ok(Page { items, next, is_cut: !is_whole, unreadable });
            }
        }
    }
}

/// The error for a fault that is not retried.
fn told(fault: RequestError) -> Error {
    match fault {
        RequestError::Final(error) | RequestError::NotTaken(error) => error,
        RequestError::Undone(failure) | RequestError::TooLarge(failure) => Error::Unavailable(failure),
        RequestError::Unsure(failure) => Error::Unknown(failure),
    }
}

/// What a command that is no command on a task was answered with.
fn read(answer: Result<String, RequestError>) -> Result<String, Error> {
    answer.map_err(told)
}

/// It was done, but the answer can't be read.
fn unreadable(what: String) -> Error {
    Error::Unknown(format!("the command was done, but the server's response can't be read: {what}").into())
}

/// The path of something in a namespace.
fn in_namespace(namespace: &Namespace, rest: &str) -> String {
    format!("/v1/{namespace}/{rest}")
}

fn list_path(namespace: Option<&Namespace>, rest: &str) -> String {
    namespace.map_or_else(|| format!("/v1/{rest}"), |namespace| in_namespace(namespace, rest))
}

impl tenure_store::InternalStore for RemoteStore {}

impl Store for RemoteStore {
    /// Servers bound the answers to a request by themselves, and what they leave is sent again.
    fn transact_within(&self, commands: Vec<Command>, _options: AnswerOptions) -> BoxFuture<'_, Answered> {
        Box::pin(async move { Answered::all(self.sender.transact(commands).await) })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            let path = in_namespace(&namespace, &format!("tasks/{id}"));
            match self.get::<api::list::TaskAnswer>(path, Query::none()).await {
                Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
                answer => Ok(Some(answer?.task.try_into().map_err(wire::foreign)?)),
            }
        })
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            let query = Query::of(filter.parameters());
            let path = list_path(filter.namespace.as_ref(), "tasks");
            self.pages::<api::list::TaskPage, Task>(
                &path,
                &query,
                ("cursor", after),
                (size, PAGE_MAX, task_bytes),
            )
            .await
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            let query = Query::none()
                .with("limit", Some(limit.clamp(1, PAGE_MAX)))
                .with("cursor", after.as_ref().map(Cursor::as_str));
            let first = self.get::<api::list::Lapsed>("/v1/lapsed".to_owned(), query).await?;
            let mut lapsed = Lapsed::from(first);
            while lapsed.tasks.len() < limit
                && let Some(after) = lapsed.next.take()
            {
                let left = (limit - lapsed.tasks.len()).clamp(1, PAGE_MAX);
                let query = Query::none().with("limit", Some(left)).with("cursor", Some(after.as_str()));
                let more = Lapsed::from(self.get::<api::list::Lapsed>("/v1/lapsed".to_owned(), query).await?);
                lapsed.tasks.extend(more.tasks);
                lapsed.next = more.next;
                lapsed.next_check = more.next_check;
            }
            Ok(lapsed)
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            Ok(self
                .get::<api::overview::StatsAnswer>(in_namespace(&namespace, "stats"), Query::none())
                .await?
                .stats)
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move {
            Ok(self
                .get::<api::overview::OwnerList>(in_namespace(&namespace, "owners"), Query::none())
                .await?
                .owners)
        })
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(async move {
            let query = Query::none().with("queue", Some(&queue));
            Ok(self.get::<api::list::Claimable>(in_namespace(&namespace, "claimable"), query).await?.at)
        })
    }

    /// One long-polling request costs less than polling from afar.
    fn until_claimable(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            // It was claimed in vain, and what the server calls due may be about to be claimed by others.
            tokio::time::sleep(LOOK_APART).await;
            let query = Query::none().with("queue", Some(&queue)).with("wait", Some(Span::from(WAIT)));
            let path = in_namespace(&namespace, &format!("claimable{query}"));
            let due = self.look::<api::list::Claimable>(path, Asking::UntilSomethingHappens).await;
            due.map(|_| ()).map_err(told)
        })
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            let query = Query::none().with("id", Some(&id));
            Ok(self
                .get::<api::list::Remembered>(in_namespace(&namespace, "requests"), query)
                .await?
                .remembered)
        })
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(async move {
            let (path, query) = match (&filter.namespace, &filter.task) {
                (Some(namespace), Some(task)) => {
                    (in_namespace(namespace, &format!("tasks/{task}/events")), Query::none())
                }
                (namespace, task) => {
                    (list_path(namespace.as_ref(), "events"), Query::none().with("task", task.as_ref()))
                }
            };
            let read = || {
                self.pages::<api::list::EventPage, Recorded>(
                    &path,
                    &query,
                    ("after", after.clone()),
                    (size, PAGE_MAX, event_bytes),
                )
            };
            let is_there = |page: &Result<_, Error>| {
                page.as_ref().err().and_then(Error::code) != Some(Code::NotFound) || filter.task.is_none()
            };
            let page = read().await;
            if is_there(&page) {
                return page;
            }
            // A server has no history of a task that is not there; other stores have an empty one, up to where the history is.
            // The place is taken before another look, so that a task which is made meanwhile is not passed over.
            let newest = self.newest().await?;
            let page = read().await;
            if is_there(&page) { page } else { Ok(Page::new(Vec::new(), Some(newest), false)) }
        })
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        Box::pin(async move {
            search.check()?;
            let path = in_namespace(&search.namespace, "history");
            let mut limit = size.items.clamp(1, PAGE_MAX);
            loop {
                let query = Query::of(search.parameters())
                    .with("limit", Some(limit))
                    .with("cursor", after.as_ref().map(Cursor::as_str));
                match self.look::<api::list::HistoryPage>(format!("{path}{query}"), Asking::Now).await {
                    Ok(found) => return FoundHistory::try_from(found).map_err(wire::foreign),
                    Err(RequestError::TooLarge(_)) if limit > 1 => limit /= 2,
                    Err(fault) => return Err(told(fault)),
                }
            }
        })
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(async move {
            Ok(Cursor::from_text(
                self.get::<api::list::Newest>("/v1/newest".to_owned(), Query::none()).await?.cursor,
            ))
        })
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            loop {
                let query = Query::none()
                    .with("limit", Some(1))
                    .with("wait", Some(Span::from(WAIT)))
                    .with("after", after.as_ref().map(Cursor::as_str));
                let asking = Asking::UntilSomethingHappens;
                let page = self
                    .look::<api::list::EventPage>(format!("/v1/events{query}"), asking)
                    .await
                    .map_err(told)?;
                // Events that the caller may not see have moved the cursor; the next read finds that nothing
                // is there.
                if !page.events.is_empty() || page.next.map(Cursor::from_text) != after {
                    return Ok(());
                }
            }
        })
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(async move {
            let query = Query::none();
            let sizes = (size, CHAINS_MAX, chain_bytes as fn(&StoredChain) -> usize);
            self.pages::<api::chain::ChainPage, StoredChain>("/v1/chains", &query, ("cursor", after), sizes)
                .await
        })
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(async move {
            let path = match subject {
                Subject::Task(id) => in_namespace(&namespace, &format!("tasks/{id}/chain")),
                Subject::Namespace => in_namespace(&namespace, "chain"),
            };
            match self.get::<api::chain::ChainAnswer>(path, Query::none()).await {
                Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
                answer => Ok(Some(answer?.chain.try_into().map_err(wire::foreign)?)),
            }
        })
    }

    /// A repeat is another event, so it is not sent again by itself.
    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            note.check()?;
            let SweepNote { namespace, actor, owner, counts } = note;
            let body = to_json(&SweepBody::new(owner.to_string(), counts, Some(actor.to_string())));
            let path = in_namespace(&namespace, "sweeps");
            let answer = self.wire.post(path, body, Idempotency::Unsafe).await;
            let noted: SweepNoted = from_json(&read(answer)?).map_err(unreadable)?;
            Ok(noted.number)
        })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            let body = to_json(&presence);
            let answer = self.wire.post("/v1/watch".to_owned(), body, Idempotency::Safe).await;
            let watch: api::list::Watch = from_json(&read(answer)?).map_err(unreadable)?;
            Ok(watch.absence)
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(async move {
            let path = in_namespace(&namespace, "recovery");
            Ok(self.get::<api::overview::WatchersAnswer>(path, Query::none()).await?.recovery)
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move {
            Ok(self.get::<api::list::NowAnswer>("/v1/now".to_owned(), Query::none()).await?.now)
        })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(async move {
            Ok(self
                .get::<api::list::NamespaceList>("/v1/namespaces".to_owned(), Query::none())
                .await?
                .namespaces)
        })
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move {
            let text = self.wire.get("/v1/tokens".to_owned(), Asking::Now).await;
            let tokens: Tokens = from_json(&read(text)?).map_err(wire::foreign)?;
            Ok(Some(tokens).filter(|tokens| known != Some(tokens.version)))
        })
    }

    /// The secret was made here and stays here: only its hash is sent.
    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(async move {
            let body = TokenBody {
                name: new.name.to_string(),
                role: new.role.as_str().to_owned(),
                namespaces: Some(new.namespaces.words().into_iter().map(str::to_owned).collect()),
                expires: new.lifetime.map(|lifetime| DurationInput::from(lifetime.span())),
                hash: Some(hash.to_string()),
                by: Some(new.created_by.to_string()),
            };
            let text = self.wire.post("/v1/tokens".to_owned(), to_json(&body), Idempotency::Unsafe).await;
            from_json(&read(text)?).map_err(unreadable)
        })
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        Box::pin(async move {
            let TokenToRevoke { name, hash } = which;
            let hash = hash.map(|hash| hash.to_string());
            let body = to_json(&TokenName { name: Some(name.to_string()), hash, by: Some(by.to_string()) });
            let text = self.wire.delete("/v1/tokens".to_owned(), body).await;
            from_json(&read(text)?).map_err(unreadable)
        })
    }

    fn retention(&self) -> &dyn RetentionStore {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
