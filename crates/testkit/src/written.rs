//! A store behind its public JSON: each command and answer is written and read back, as between two programs.
//! Compared with another store, it shows whether anything is lost on the way.

use std::sync::Arc;

use tenure::Error;
use tenure::access::{NewToken, Token, TokenHash, Tokens};
use tenure::core::command::Command;
use tenure::core::id::{Actor, Namespace, Queue, RequestId, TaskId};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::entropy::SeededEntropy;
use tenure::record::command::{By, command_json, read_command};
use tenure::record::read::{
    AnswersShape, ChainAnswerShape, ChainsShape, ClaimableShape, EventsShape, LapsedShape, NamespacesShape,
    NewestShape, NowShape, OwnersShape, PresenceShape, RememberedShape, Shape, StatsShape, TaskAnswerShape,
    TasksShape, WatchShape, WatchersAnswerShape, read_shape,
};
use tenure::record::{
    AnswersRecord, ChainAnswer, ChainsPage, ClaimableRecord, EventsPage, LapsedRecord, NamespacesRecord,
    NewestRecord, NowRecord, OwnersAnswer, PresenceRecord, RememberedRecord, StatsAnswer, TaskAnswer,
    TasksPage, TokensRecord, WatchedRecord, WatchersAnswer, json, read_tokens,
};
use tenure::store::answering::{AnswerOptions, Answered};
use tenure::store::overview::{Holding, Overview};
use tenure::store::stored::StoredChain;
use tenure::store::watch::{Absence, Presence, Watchers};
use tenure::store::{BoxFuture, Cursor, EventFilter, Filter, Lapsed, Page, PageSize, Recorded, Store};

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

/// What comes out of the text. What does not is told with the text.
fn read<S: Shape>(text: &str) -> S::Value {
    read_shape::<S>(text).unwrap_or_else(|what| panic!("{what}: {text}"))
}

/// The command as it is read after it was written, which must be the same.
fn through_json(command: Command) -> Command {
    let by = By {
        namespace: &command.namespace,
        actor: None,
        reach: command.reach,
        entropy: &SeededEntropy::new(1),
    };
    let text = command_json(&command);
    let read = read_command(&text, &by).unwrap_or_else(|refusal| panic!("{refusal}: {text}"));
    assert_eq!(read, command, "{text}");
    read
}

impl Store for WrittenStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        Box::pin(async move {
            let commands: Vec<Command> = commands.into_iter().map(through_json).collect();
            let answered = self.inner.transact_within(commands, options).await;
            let now = self.inner.now().await.expect("the time");
            let answers = read::<AnswersShape>(&json(&AnswersRecord::of(&answered.answers, now)));
            Answered { answers, ..answered }
        })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        Box::pin(async move {
            let (task, now) = (self.inner.task(namespace, id).await?, self.inner.now().await?);
            Ok(task.map(|task| read::<TaskAnswerShape>(&json(&TaskAnswer::of(&task, now)))))
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
            Ok(read::<TasksShape>(&json(&TasksPage::of(&page, self.inner.now().await?))))
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            Ok(read::<LapsedShape>(&json(&LapsedRecord::of(&self.inner.lapsed(after, limit).await?))))
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            Ok(read::<StatsShape>(&json(&StatsAnswer::of(&self.inner.overview(namespace).await?))))
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move {
            Ok(read::<OwnersShape>(&json(&OwnersAnswer::of(&self.inner.holdings(namespace).await?))))
        })
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        Box::pin(async move {
            let at = self.inner.claimable_at(namespace, queue).await?;
            Ok(read::<ClaimableShape>(&json(&ClaimableRecord::of(at))))
        })
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            let remembered = self.inner.remembers(namespace, id).await?;
            Ok(read::<RememberedShape>(&json(&RememberedRecord::of(remembered))))
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
            Ok(read::<EventsShape>(&json(&EventsPage::of(&page))))
        })
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        Box::pin(
            async move { Ok(read::<NewestShape>(&json(&NewestRecord::of(&self.inner.newest().await?)))) },
        )
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
            let read = read::<ChainsShape>(&json(&ChainsPage::of(&page)));
            assert_eq!(read, page, "chains are what they were");
            Ok(read)
        })
    }

    fn chain(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        Box::pin(async move {
            let chain = self.inner.chain(namespace, id).await?;
            let through = |chain: &StoredChain| read::<ChainAnswerShape>(&json(&ChainAnswer::of(chain)));
            assert_eq!(chain.as_ref().map(through), chain, "it is what it was");
            Ok(chain)
        })
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            let presence = read::<PresenceShape>(&json(&PresenceRecord::of(&presence)));
            Ok(read::<WatchShape>(&json(&WatchedRecord::of(self.inner.watch(presence).await?))))
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        Box::pin(async move {
            let watchers = self.inner.watchers(namespace).await?;
            Ok(read::<WatchersAnswerShape>(&json(&WatchersAnswer::of(&watchers))))
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move { Ok(read::<NowShape>(&json(&NowRecord::of(self.inner.now().await?)))) })
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        Box::pin(async move {
            Ok(read::<NamespacesShape>(&json(&NamespacesRecord::of(&self.inner.namespaces().await?))))
        })
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        Box::pin(async move {
            let tokens = self.inner.tokens(known).await?;
            let written = |tokens: Tokens| read_tokens(&json(&TokensRecord::of(&tokens)));
            Ok(tokens.map(|tokens| written(tokens).unwrap_or_else(|what| panic!("{what}"))))
        })
    }

    fn add_token(&self, hash: TokenHash, new: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.add_token(hash, new)
    }

    fn revoke_token(&self, name: Actor, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.inner.revoke_token(name, by)
    }
}
