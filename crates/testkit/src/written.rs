//! A store behind its public JSON: each command and answer is written and read back, as between two programs.
//! Compared with another store, it shows whether anything is lost on the way.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure::Error;
use tenure::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure::api::answer::Answers;
use tenure::api::chain::{ChainAnswer, ChainPage};
use tenure::api::command::{By, command_json, read_command};
use tenure::api::list::{
    Claimable, EventPage, HistoryPage, Lapsed as LapsedJson, NamespaceList, Newest, NowAnswer, Remembered,
    TaskAnswer, TaskPage, Watch,
};
use tenure::api::overview::{OwnerList, StatsAnswer, WatchersAnswer};
use tenure::api::recovery::{SweepBody, SweepNoted};
use tenure::api::{from_json, to_json};
use tenure::core::command::Command;
use tenure::core::event::Subject;
use tenure::core::id::{Actor, Namespace, Owner, Queue, RequestId, Revision, TaskId};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::entropy::SeededEntropy;
use tenure::record;
use tenure::store::answering::{AnswerOptions, Answered};
use tenure::store::health::{IntegrityCheck, StoreHealth};
use tenure::store::namespace_history::SweepNote;
use tenure::store::overview::{Holding, Overview};
use tenure::store::stored::StoredChain;
use tenure::store::watch::{Absence, Presence, Watchers};
use tenure::store::{
    BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize, Recorded,
    Store,
};

/// A store whose commands and answers went through JSON.
pub struct WrittenStore {
    inner: Arc<dyn Store>,
}

impl WrittenStore {
    /// In front of that store.
    pub fn over(inner: Arc<dyn Store>) -> Arc<WrittenStore> {
        Arc::new(WrittenStore { inner })
    }
}

/// A value as it is read after it was written. What does not come out is told with the text.
fn through<A: Serialize + DeserializeOwned>(value: A) -> A {
    let text = to_json(&value);
    from_json(&text).unwrap_or_else(|what| panic!("{what}: {text}"))
}

/// The same of a value that has a form of its own in JSON.
fn through_form<A: Serialize + DeserializeOwned, T: TryFrom<A, Error = String>>(form: A) -> T {
    T::try_from(through(form)).unwrap_or_else(|what| panic!("{what}"))
}

/// The command as it is read after it was written, which must be the same.
fn through_json(command: Command) -> Command {
    let by = By {
        namespace: &command.namespace,
        actor: None,
        lease_scope: command.lease_scope,
        random: &SeededEntropy::new(1),
    };
    let text = command_json(&command);
    let read = read_command(&text, &by).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
    assert_eq!(read, command, "{text}");
    read
}

impl tenure::store::InternalStore for WrittenStore {}

impl Store for WrittenStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        Box::pin(async move {
            let commands: Vec<Command> = commands.into_iter().map(through_json).collect();
            let answered = self.inner.transact_within(commands, options).await;
            let now = self.inner.now().await.expect("the time");
            let read = |answer| record::read_answer(answer).unwrap_or_else(|what| panic!("{what}"));
            let written: Answers = through(record::answers(&answered.answers, now));
            Answered { answers: written.answers.into_iter().map(read).collect(), ..answered }
        })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            let (task, now) = (self.inner.task(namespace, id).await?, self.inner.now().await?);
            Ok(task.map(|task| through_form(through(TaskAnswer::at(&task, now)).task)))
        })
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            let page = self.inner.tasks(filter, after, size).await?;
            Ok(through_form::<TaskPage, _>(record::task_page(&page, self.inner.now().await?)))
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            let lapsed = self.inner.lapsed(after, limit).await?;
            Ok(through(LapsedJson::from(&lapsed)).into())
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            let stats = self.inner.overview(namespace).await?;
            Ok(through(StatsAnswer { stats }).stats)
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move {
            let owners = self.inner.holdings(namespace).await?;
            Ok(through(OwnerList { owners }).owners)
        })
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(async move {
            let at = self.inner.claimable_at(namespace, queue).await?;
            Ok(through(Claimable { at }).at)
        })
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            let remembered = self.inner.remembers(namespace, id).await?;
            Ok(through(Remembered { remembered }).remembered)
        })
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(async move {
            let page = self.inner.events(filter, after, size).await?;
            Ok(through_form(EventPage::from(&page)))
        })
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        Box::pin(async move {
            let found = self.inner.search_events(search, after, size).await?;
            Ok(through_form(HistoryPage::from(&found)))
        })
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(async move {
            let newest = Newest { cursor: self.inner.newest().await?.as_str().to_owned() };
            Ok(Cursor::from_text(through(newest).cursor))
        })
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.more_events(after)
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(async move {
            let page = self.inner.chains(after, size).await?;
            let read = through_form(ChainPage::from(&page));
            assert_eq!(read, page, "chains are what they were");
            Ok(read)
        })
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(async move {
            let chain = self.inner.chain(namespace, subject).await?;
            let read = |chain: &StoredChain| through_form(through(ChainAnswer { chain: chain.into() }).chain);
            assert_eq!(chain.as_ref().map(read), chain, "it is what it was");
            Ok(chain)
        })
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            let written = SweepBody::new(note.owner.to_string(), note.counts, Some(note.actor.to_string()));
            let read: SweepBody = through(written);
            let owner = Owner::new(read.owner.as_str())?;
            let actor = Actor::new(read.by.clone().unwrap_or_default())?;
            let counts = read.counts();
            let noted = self.inner.note_sweep(SweepNote { actor, owner, counts, ..note }).await?;
            Ok(through(SweepNoted { number: noted }).number)
        })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            let absence = self.inner.watch(through(presence)).await?;
            Ok(through(Watch { absence }).absence)
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(async move {
            let recovery = self.inner.watchers(namespace).await?;
            Ok(through(WatchersAnswer { recovery }).recovery)
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move { Ok(through(NowAnswer { now: self.inner.now().await? }).now) })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(async move {
            let namespaces = self.inner.namespaces().await?;
            Ok(through(NamespaceList { namespaces }).namespaces)
        })
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move { Ok(self.inner.tokens(known).await?.map(through)) })
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.add_token(hash, new)
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.revoke_token(which, by)
    }

    fn health(&self, check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        self.inner.health(check)
    }

    fn retention(&self) -> &dyn tenure::store::RetentionStore {
        self.inner.retention()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
