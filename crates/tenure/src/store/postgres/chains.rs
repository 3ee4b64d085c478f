//! Chains to verify, and the events that no task has.

use std::collections::HashMap;

use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::Task;

use crate::error::Error;
use crate::store::columns::Row as _;
use crate::store::postgres::columns::Found;
use crate::store::postgres::read::{RawTask, Reader};
use crate::store::{Cursor, Page, PageFill, PageSize, StoredChain, StoredEvent, page};

/// Where a walk over all chains is: at tasks by their age within a namespace, then at the events without a task.
#[derive(Clone)]
pub(crate) enum Place {
    Tasks { namespace: String, no: i64 },
    Orphans { namespace: String, task: String },
}

impl Place {
    pub(crate) fn of(cursor: Option<&Cursor>) -> Result<Place, Error> {
        let Some(cursor) = cursor else { return Ok(Place::Tasks { namespace: String::new(), no: i64::MIN }) };
        let read = || {
            let (kind, rest) = cursor.as_str().split_once(' ')?;
            let (namespace, rest) = rest.split_once('/')?;
            match kind {
                "c" => Some(Place::Tasks { namespace: namespace.to_owned(), no: rest.parse().ok()? }),
                "o" => Some(Place::Orphans { namespace: namespace.to_owned(), task: rest.to_owned() }),
                _ => None,
            }
        };
        read().ok_or_else(Cursor::foreign)
    }

    fn cursor(&self) -> Cursor {
        match self {
            Place::Tasks { namespace, no } => Cursor(format!("c {namespace}/{no}")),
            Place::Orphans { namespace, task } => Cursor(format!("o {namespace}/{task}")),
        }
    }
}

/// Events of which there is no task.
const ORPHANS: &str = "\
    select distinct namespace, task from tenure.events \
    where (namespace, task) > ($1, $2) \
    and not exists (select from tenure.tasks where tasks.namespace = events.namespace and tasks.id = events.task) \
    order by namespace, task limit $3";

/// The names of tasks, by their age within a namespace.
const TASK_NAMES: &str = "\
    select namespace, id from tenure.tasks where (namespace, no) > ($1, $2) and no > 0 order by namespace, no limit $3";

/// How large the histories of tasks are, in the order of their names as they are given.
const HISTORY_OCTETS: &str = "\
    select coalesce(sum(octet_length(data) + 320), 0)::bigint from unnest($1::text[], $2::text[]) with ordinality as wanted(n, i, place) \
    left join tenure.events on namespace = n and task = i group by place order by place";

const EVENTS: &str = "\
    select namespace, task, number, at, actor, type, data, hash from unnest($1::text[], $2::text[]) as wanted(n, i) \
    join tenure.events on namespace = n and task = i order by namespace, task, feed, \"order\"";

/// The chain of a task that has a row.
fn chain(task: Option<Task>, raw: RawTask, events: Vec<StoredEvent>) -> StoredChain {
    let stored_name = Some(format!("{}/{}", raw.namespace, raw.id));
    let name = Namespace::new(raw.namespace).and_then(|namespace| Ok((namespace, TaskId::new(raw.id)?)));
    let task = task.map(Box::new);
    StoredChain { row: raw.no, task, name: name.ok(), stored_name, head: raw.head, events }
}

impl Reader<'_> {
    /// One look at one moment: between two statements others could add what the first did not see.
    pub(crate) async fn chains(&mut self, place: Place, size: PageSize) -> Found<Page<StoredChain>> {
        self.begin().await?;
        let page = match place {
            Place::Tasks { namespace, no } => self.chains_of_tasks(&namespace, no, size).await?,
            Place::Orphans { namespace, task } => self.orphans(&namespace, &task, size).await?,
        };
        self.end().await?;
        Ok(page)
    }

    /// The chain of one task.
    pub(crate) async fn chain_of(
        &mut self,
        namespace: &Namespace,
        id: &TaskId,
    ) -> Found<Option<StoredChain>> {
        self.begin().await?;
        let rows = self.row_of(namespace, id).await?;
        let events = self.events_of(&[(namespace.as_str(), id.as_str())]).await?.into_values().next();
        self.end().await?;
        let events = events.unwrap_or_default();
        Ok(match rows.into_iter().next() {
            Some((task, raw)) => Some(chain(task, raw, events)),
            None if events.is_empty() => None,
            None => Some(StoredChain {
                row: 0,
                task: None,
                name: Some((namespace.clone(), id.clone())),
                stored_name: None,
                head: None,
                events,
            }),
        })
    }

    async fn chains_of_tasks(
        &mut self,
        namespace: &str,
        no: i64,
        size: PageSize,
    ) -> Found<Page<StoredChain>> {
        let names = self.link.ask(TASK_NAMES, &[&namespace, &no, &page(size.items)]).await?;
        let fits = self.fitting_histories(&names, size).await?;
        let is_cut = fits < names.len();
        let rows = self.rows_after((namespace, no), fits as i64).await?;
        let names: Vec<(&str, &str)> =
            rows.iter().map(|(_, raw)| (raw.namespace.as_str(), raw.id.as_str())).collect();
        let mut events = self.events_of(&names).await?;
        let next = match rows.last() {
            Some((_, raw)) => Place::Tasks { namespace: raw.namespace.clone(), no: raw.no },
            None => Place::Orphans { namespace: String::new(), task: String::new() },
        };
        let chain = |(task, raw): (Option<Task>, RawTask)| {
            let events = events.remove(&(raw.namespace.clone(), raw.id.clone())).unwrap_or_default();
            chain(task, raw, events)
        };
        Ok(Page::new(rows.into_iter().map(chain).collect(), Some(next.cursor()), is_cut))
    }

    async fn orphans(&mut self, namespace: &str, task: &str, size: PageSize) -> Found<Page<StoredChain>> {
        let mut rows = self.link.ask(ORPHANS, &[&namespace, &task, &page(size.items)]).await?;
        let fits = self.fitting_histories(&rows, size).await?;
        let is_cut = fits < rows.len();
        let is_full = is_cut || rows.len() as i64 == page(size.items);
        rows.truncate(fits);
        let mut names = Vec::new();
        for row in &rows {
            names.push((row.a_text(0)?, row.a_text(1)?));
        }
        let mut events = self.events_of(&names).await?;
        let last = names.last().filter(|_| is_full);
        let next = last.map(|(namespace, task)| {
            Place::Orphans { namespace: (*namespace).into(), task: (*task).into() }.cursor()
        });
        let chain = |(namespace, task): (&str, &str)| StoredChain {
            row: 0,
            task: None,
            name: Namespace::new(namespace).and_then(|namespace| Ok((namespace, TaskId::new(task)?))).ok(),
            stored_name: None,
            head: None,
            events: events.remove(&(namespace.to_owned(), task.to_owned())).unwrap_or_default(),
        };
        Ok(Page::new(names.into_iter().map(chain).collect(), next, is_cut))
    }

    /// How many of the tasks fit a page, by what is stored of their histories.
    async fn fitting_histories(&mut self, names: &[tokio_postgres::Row], size: PageSize) -> Found<usize> {
        let (mut namespaces, mut ids) = (Vec::new(), Vec::new());
        for row in names {
            namespaces.push(row.a_text(0)?);
            ids.push(row.a_text(1)?);
        }
        let (mut fill, mut fits) = (PageFill::new(size), 0);
        for row in self.link.ask(HISTORY_OCTETS, &[&namespaces, &ids]).await? {
            if !fill.takes(usize::try_from(row.a_number(0)?).unwrap_or(usize::MAX)) {
                break;
            }
            fits += 1;
        }
        Ok(fits)
    }

    /// The events of tasks by their places. These are given anew from one, so that what was moved by its feed is found, too.
    async fn events_of(
        &mut self,
        names: &[(&str, &str)],
    ) -> Found<HashMap<(String, String), Vec<StoredEvent>>> {
        let (namespaces, ids): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
        let mut events = HashMap::<(String, String), Vec<StoredEvent>>::new();
        for row in self.link.ask(EVENTS, &[&namespaces, &ids]).await? {
            let of_task = events.entry((row.a_text(0)?.to_owned(), row.a_text(1)?.to_owned())).or_default();
            of_task.push(StoredEvent {
                order: of_task.len() as i64 + 1,
                number: row.a_number(2)?,
                at: row.a_number(3)?,
                actor: row.a_text(4)?.to_owned(),
                kind: row.a_text(5)?.to_owned(),
                data: row.a_text(6)?.to_owned(),
                hash: row.bytes(7)?.unwrap_or_default().to_vec(),
            });
        }
        Ok(events)
    }
}
