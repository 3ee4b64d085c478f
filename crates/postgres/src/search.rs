//! The search through the history. Events have no index but the feed and those of a task, so a search reads a range of the feed, and
//! never more than a bounded number of events. Only the events of one task are read whole, by their key, as its history is elsewhere.

use tenure_core::time::{Span, Time};
use tenure_store::columns::{EventRow, Row, TableRow, column_count};
use tenure_store::filling::{FoundEvents, page};
use tenure_store::transfer::SLIGHTLY;
use tenure_store::{Cursor, EventSearch, FoundHistory, Order, PageSize};

use crate::columns::{PostgresError, PostgresResult, PostgresRow};
use crate::read::{Conditions, EVENT, PostgresReader, one, recorded};

/// The feed has events in the order of their commits. A batch takes its time before it commits, so that the times of different tasks
/// may be in another order, though not by that much.
const OUT_OF_ORDER_MAX: Span = Span::from_secs(60);

/// The first feed whose event happened then or later, from the last parameter on, by halves: it takes as many looks as the feed has
/// bits.
const FEED_AT: &str = "\
    with recursive steps (low, high) as ( \
        select least($2::bigint, greatest($3::bigint, coalesce( \
            (select feed from tenure.events order by feed, \"order\" limit 1), $2::bigint))), $2::bigint \
        union all \
        select case when found.at < $1::bigint then middle.feed + 1 else steps.low end, \
            case when found.at < $1::bigint then steps.high else middle.feed end \
        from steps \
        cross join lateral (select steps.low + (steps.high - steps.low) / 2 as feed) as middle \
        left join lateral (select events.at from tenure.events where events.feed >= middle.feed \
            order by events.feed, events.\"order\" limit 1) as found on true \
        where steps.low < steps.high) \
    select low from steps where low >= high limit 1";

/// A place in the feed: where its transaction is, and the event in it.
type Place = (i64, i64);

/// The events that are looked at for one page, as the source of a query.
struct Looked {
    wanted: Conditions,
    /// What to order by.
    by: String,
}

impl Looked {
    /// Those between two places, of the task if one is looked for, the first as many as are looked at.
    fn between(low: Place, high: Place, search: &EventSearch) -> Looked {
        let order = search.order.sql();
        let by = format!("feed {order}, \"order\" {order}");
        let mut wanted = Conditions::on("");
        let [low, high] = [low, high].map(|(feed, order)| {
            let (feed, order) = (wanted.parameter(feed), wanted.parameter(order));
            format!("({feed}::bigint, {order}::bigint)")
        });
        let events = match &search.task {
            None => "tenure.events".to_owned(),
            // By the key, whatever the planner knows of the table: `offset` keeps it from reading the feed instead.
            Some(task) => {
                let namespace = wanted.parameter(search.namespace.to_string());
                let task = wanted.parameter(task.to_string());
                format!(
                    "(select * from tenure.events where namespace = {namespace} and task = {task} offset 0) as events"
                )
            }
        };
        wanted.source = format!(
            "(select * from {events} where (feed, \"order\") > {low} and (feed, \"order\") < {high} \
             order by {by} limit {}) as events",
            search.looks
        );
        Looked { wanted, by }
    }

    /// The statement for the last of them, if they are as many as are looked at.
    fn edge(&self, looks: usize) -> String {
        let Looked { wanted, by } = self;
        format!(
            "select feed, \"order\", at from {} order by {by} limit 1 offset {}",
            wanted.source,
            looks - 1
        )
    }

    /// The statement for those that match, after which the conditions have its parameters.
    fn matching(&mut self, search: &EventSearch, size: PageSize) -> String {
        let Looked { wanted, by } = self;
        wanted.add("namespace = ", search.namespace.to_string());
        if let Some(actor) = &search.actor {
            wanted.add("actor = ", actor.to_string());
        }
        if !search.kinds.is_empty() {
            let words: Vec<String> = search.kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
            wanted.condition(format!("type in ({})", words.join(", ")));
        }
        if let Some(since) = search.since {
            wanted.add("at >= ", since.as_micros());
        }
        if let Some(until) = search.until {
            wanted.add("at < ", until.as_micros());
        }
        let bytes = i64::try_from(size.bytes).unwrap_or(i64::MAX).max(1);
        // Each level names its rows `events`, as the list of columns does.
        let columns = format!("feed, \"order\", namespace, task, {}", EventRow::select_list());
        // What a server sends is all kept here, so it counts how much that is.
        format!(
            "select {columns}, all_rows from ( \
                 select *, count(*) over () as all_rows, \
                     sum(octet_length(data)) over (order by {by}) - octet_length(data) as before from ( \
                     select {columns} from {} where {} order by {by} limit {}) as events) as events \
             where before < {bytes} order by {by}",
            wanted.source,
            wanted.sql(),
            page(size.items) + 1,
        )
    }
}

impl PostgresReader<'_> {
    pub(crate) async fn search_events(
        &mut self,
        search: &EventSearch,
        after: Option<Place>,
        size: PageSize,
    ) -> PostgresResult<FoundHistory> {
        // Read first: all that lies below it has ended by then, so the next statements see all of it.
        let horizon = self.horizon().await?;
        // The events of one task are in its order whatever else is being written.
        let end = if search.task.is_some() { (i64::MAX, i64::MAX) } else { (horizon, i64::MIN) };
        let (mut low, mut high) = ((i64::MIN, i64::MIN), end);
        let (from, slack) = self.ordered_from(search).await?;
        if let Some(since) = search.since {
            let first = self.feed_at(since - slack, horizon, from).await?;
            // Nothing behind what has no order is earlier, so that may have some of it.
            low = (if first <= from { i64::MIN } else { first }, i64::MIN);
        }
        if let Some(until) = search.until {
            high = high.min((self.feed_at(until + slack, horizon, from).await?, i64::MIN));
        }
        match (after, search.order) {
            (Some(after), Order::Newest) => high = high.min(after),
            (Some(after), Order::Oldest) => low = low.max(after),
            (None, Order::Newest | Order::Oldest) => {}
        }
        let mut looked = Looked::between(low, high, search);
        self.begin().await?;
        let edge = self.link.once(&looked.edge(search.looks), &looked.wanted.parameters()).await?;
        let edge = edge.first().map(edge_of).transpose()?;
        let sql = looked.matching(search, size);
        let rows = self.link.once(&sql, &looked.wanted.parameters()).await?;
        self.end().await?;
        let all_rows =
            rows.first().map_or(Ok(0), |row| row.a_number(EVENT + column_count::<EventRow<'_>>()))?;
        let (mut found, mut has_more) = (FoundEvents::new(size), all_rows > rows.len() as i64);
        for row in &rows {
            let cursor = Cursor::between('e', row.a_number(0)?, row.a_number(1)?);
            let recorded = match recorded(row, cursor.clone()) {
                Err(PostgresError::Broken(_)) => None,
                read => Some(read?),
            };
            if !found.takes(cursor, recorded) {
                has_more = true;
                break;
            }
        }
        // Events that can't be read are taken beyond the size of the page, so that may not show that there are more.
        let has_more = has_more || all_rows > page(size.items);
        Ok(found.history(has_more, edge))
    }

    async fn feed_at(&mut self, time: Time, horizon: i64, from: i64) -> PostgresResult<i64> {
        one(&self.link.ask(FEED_AT, &[&time.as_micros(), &horizon, &from]).await?)?.a_number(0)
    }

    /// The feed from which on events are in the order of their times, as far as they are in this store.
    async fn ordered_from(&mut self, search: &EventSearch) -> PostgresResult<(i64, Span)> {
        let all = (i64::MIN, OUT_OF_ORDER_MAX);
        if search.since.is_none() && search.until.is_none() {
            return Ok(all);
        }
        let order = self.order().await?;
        // What was imported may be of a minute ahead, besides.
        let slack = Span::from_micros(OUT_OF_ORDER_MAX.as_micros() + SLIGHTLY.as_micros());
        Ok(order.unordered_to.map_or(all, |feed| (feed + 1, slack)))
    }
}

/// The last event that is looked at: its place, and when it happened.
fn edge_of(row: &PostgresRow) -> PostgresResult<(Cursor, Time)> {
    Ok((Cursor::between('e', row.a_number(0)?, row.a_number(1)?), row.a_time(2)?))
}
