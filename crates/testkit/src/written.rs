//! A store behind its public JSON: what it answers is written and read back, as between programs. Who compares it with
//! another store sees whether anything is lost on the way.

use std::sync::Arc;

use tenure::Error;
use tenure::core::command::Command;
use tenure::core::id::{Namespace, Queue, RequestId, TaskId};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::record::read::{
    AnswersShape, ChainsShape, ClaimableShape, EventsShape, LapsedShape, NewestShape, NowShape, OwnersShape,
    RememberedShape, Shape, StatsShape, TaskAnswerShape, TasksShape, WatchShape, read_shape,
};
use tenure::record::{
    AnswersRecord, ChainsRecord, ClaimableRecord, EventsRecord, LapsedRecord, NewestRecord, NowRecord,
    OwnersRecord, RememberedRecord, StatsRecord, TaskAnswer, TasksRecord, WatchRecord, json,
};
use tenure::store::overview::{Holding, Overview};
use tenure::store::watch::Absence;
use tenure::store::{
    Answer, BoxFuture, Cursor, EventFilter, Filter, Lapsed, Page, Recorded, Store, StoredChain,
};

/// A store whose answers went through JSON.
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

impl Store for WrittenStore {
    fn transact(&self, commands: Vec<Command>) -> BoxFuture<'_, Vec<Result<Answer, Error>>> {
        Box::pin(async move {
            let answers = self.inner.transact(commands).await;
            let now = self.inner.now().await.expect("the time");
            read::<AnswersShape>(&json(&AnswersRecord::of(&answers, now)))
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
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        Box::pin(async move {
            let page = self.inner.tasks(filter, after, limit).await?;
            Ok(read::<TasksShape>(&json(&TasksRecord::of(&page, self.inner.now().await?))))
        })
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        Box::pin(async move {
            Ok(read::<LapsedShape>(&json(&LapsedRecord::of(&self.inner.lapsed(after, limit).await?))))
        })
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            Ok(read::<StatsShape>(&json(&StatsRecord::of(&self.inner.overview(namespace).await?))))
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        Box::pin(async move {
            Ok(read::<OwnersShape>(&json(&OwnersRecord::of(&self.inner.holdings(namespace).await?))))
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
        limit: usize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        Box::pin(async move {
            Ok(read::<EventsShape>(&json(&EventsRecord::of(&self.inner.events(filter, after, limit).await?))))
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

    fn chains(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        Box::pin(async move {
            let (page, now) = (self.inner.chains(after, limit).await?, self.inner.now().await?);
            let read = read::<ChainsShape>(&json(&ChainsRecord::of(&page, now)));
            assert_eq!(read, page, "chains are what they were");
            Ok(read)
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move { Ok(read::<WatchShape>(&json(&WatchRecord::of(self.inner.watch().await?)))) })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        Box::pin(async move { Ok(read::<NowShape>(&json(&NowRecord::of(self.inner.now().await?)))) })
    }
}
