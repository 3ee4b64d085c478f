//! Wraps a store and counts commands and their outcomes.

use std::sync::Arc;

use tenure::Error;
use tenure::access::{NewToken, Token, TokenHash, TokenToRevoke, Tokens};
use tenure::clock::Moment;
use tenure::core::command::Command;
use tenure::core::event::Subject;
use tenure::core::id::{Actor, Namespace, Queue, RequestId, Revision, TaskId};
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::core::verb::Verb;
use tenure::instant::rough;
use tenure::store::RetentionStore;
use tenure::store::answering::{AnswerOptions, Answered, MinimalAnswer};
use tenure::store::health::{IntegrityCheck, StoreHealth};
use tenure::store::metrics::StoreMetrics;
use tenure::store::namespace_history::SweepNote;
use tenure::store::overview::{Holding, Overview};
use tenure::store::stored::StoredChain;
use tenure::store::watch::{Absence, Presence, Watchers};
use tenure::store::{
    Answer, BoxFuture, Cursor, EventFilter, EventSearch, Filter, FoundHistory, Lapsed, Page, PageSize,
    Recorded, Store,
};
use tenure_view::needs::UNWRITABLE;

use crate::metrics::Metrics;

/// The store with counters. Recovery's commands are counted here, too.
pub(crate) struct MeteredStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Metrics,
}

impl tenure::store::InternalStore for MeteredStore {}

impl Store for MeteredStore {
    fn transact_within(&self, commands: Vec<Command>, options: AnswerOptions) -> BoxFuture<'_, Answered> {
        let verbs: Vec<Verb> = commands.iter().map(|command| command.action.verb()).collect();
        Box::pin(async move {
            let answered = self.store.transact_within(commands, options).await;
            for (verb, answer) in verbs.into_iter().zip(&answered.answers) {
                self.metrics.command(verb, answer);
                if is_written(answer) {
                    self.metrics.writes().heard(answer);
                }
            }
            answered
        })
    }

    fn task(&self, namespace: Namespace, id: TaskId) -> BoxFuture<'_, Result<Option<Task>, Error>> {
        self.store.task(namespace, id)
    }

    fn tasks(
        &self,
        filter: Filter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Task>, Error>> {
        self.store.tasks(filter, after, size)
    }

    fn lapsed(&self, after: Option<Cursor>, limit: usize) -> BoxFuture<'_, Result<Lapsed, Error>> {
        self.store.lapsed(after, limit)
    }

    fn overview(&self, namespace: Namespace) -> BoxFuture<'_, Result<Overview, Error>> {
        Box::pin(async move {
            let mut overview = self.store.overview(namespace).await?;
            if let Some((since, failure)) = self.metrics.writes().refused() {
                let since = rough(Moment::now().since(since));
                overview.warnings.insert(0, format!("{UNWRITABLE} for {since}: {failure}"));
            }
            Ok(overview)
        })
    }

    fn holdings(&self, namespace: Namespace) -> BoxFuture<'_, Result<Vec<Holding>, Error>> {
        self.store.holdings(namespace)
    }

    fn claimable_at(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<Option<Time>, Error>> {
        self.store.claimable_at(namespace, queue)
    }

    fn until_claimable(&self, namespace: Namespace, queue: Queue) -> BoxFuture<'_, Result<(), Error>> {
        self.store.until_claimable(namespace, queue)
    }

    fn remembers(&self, namespace: Namespace, id: RequestId) -> BoxFuture<'_, Result<bool, Error>> {
        self.store.remembers(namespace, id)
    }

    fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<Recorded>, Error>> {
        self.store.events(filter, after, size)
    }

    fn search_events(
        &self,
        search: EventSearch,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<FoundHistory, Error>> {
        self.store.search_events(search, after, size)
    }

    fn newest(&self) -> BoxFuture<'_, Result<Cursor, Error>> {
        self.store.newest()
    }

    fn more_events(&self, after: Option<Cursor>) -> BoxFuture<'_, Result<(), Error>> {
        self.store.more_events(after)
    }

    fn chains(
        &self,
        after: Option<Cursor>,
        size: PageSize,
    ) -> BoxFuture<'_, Result<Page<StoredChain>, Error>> {
        self.store.chains(after, size)
    }

    fn chain(
        &self,
        namespace: Namespace,
        subject: Subject,
    ) -> BoxFuture<'_, Result<Option<StoredChain>, Error>> {
        self.store.chain(namespace, subject)
    }

    fn note_sweep(&self, note: SweepNote) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            let answer = self.store.note_sweep(note).await;
            self.metrics.writes().heard(&answer);
            answer
        })
    }

    fn watchers(&self, namespace: Namespace) -> BoxFuture<'_, Result<Watchers, Error>> {
        self.store.watchers(namespace)
    }

    fn watch(&self, presence: Presence) -> BoxFuture<'_, Result<Option<Absence>, Error>> {
        Box::pin(async move {
            let answer = self.store.watch(presence).await;
            self.metrics.writes().heard(&answer);
            answer
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Time, Error>> {
        self.store.now()
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Namespace>, Error>> {
        self.store.namespaces()
    }

    fn tokens(&self, known: Option<u64>) -> BoxFuture<'_, Result<Option<Tokens>, Error>> {
        self.store.tokens(known)
    }

    fn add_token(&self, hash: TokenHash, token: NewToken) -> BoxFuture<'_, Result<Token, Error>> {
        self.store.add_token(hash, token)
    }

    fn revoke_token(&self, which: TokenToRevoke, by: Actor) -> BoxFuture<'_, Result<Token, Error>> {
        self.store.revoke_token(which, by)
    }

    fn metrics(&self) -> BoxFuture<'_, Result<StoreMetrics, Error>> {
        self.store.metrics()
    }

    fn health(&self, check: IntegrityCheck) -> BoxFuture<'_, Result<StoreHealth, Error>> {
        self.store.health(check)
    }

    fn retention(&self) -> &dyn RetentionStore {
        self.store.retention()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.store.as_any()
    }
}

/// Whether the answer shows that writes succeed or fail: a claim that found nothing wrote nothing.
fn is_written(answer: &Result<Answer, Error>) -> bool {
    match answer {
        Ok(Answer::Claimed(tasks)) => !tasks.is_empty(),
        Ok(Answer::Minimal(MinimalAnswer::Claimed(tasks))) => !tasks.is_empty(),
        Ok(Answer::Task(_) | Answer::Renewed(_) | Answer::Retried(..) | Answer::Minimal(_)) | Err(_) => true,
    }
}
