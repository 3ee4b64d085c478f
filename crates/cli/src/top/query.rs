//! The filter that a person types: words for the store, such as `queue:agents`, and texts to look for in what was read.

use tenure::core::id::{LabelKey, LabelValue, Owner, Queue};
use tenure::core::task::Task;
use tenure::store::Filter;
use tenure_view::words::holder;

/// A filter.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Query {
    /// As it was typed.
    pub(super) text: String,
    /// What the store looks for.
    pub(super) only: Filter,
    /// What a row must contain, in small letters.
    words: Vec<String>,
}

impl Query {
    /// Reads what was typed. Words with a wrong value are named.
    pub(super) fn read(text: &str) -> Result<Query, String> {
        let mut query = Query { text: text.trim().to_owned(), ..Query::default() };
        for word in text.split_whitespace() {
            match word.split_once(':') {
                Some(("queue", name)) => {
                    let queue = Queue::new(name).map_err(|error| error.to_string())?;
                    query.only.queue = Some(queue);
                }
                Some(("owner", name)) => {
                    let owner = Owner::new(name).map_err(|error| error.to_string())?;
                    query.only.owner = Some(owner);
                }
                Some(("last_owner", name)) => {
                    let owner = Owner::new(name).map_err(|error| error.to_string())?;
                    query.only.last_owner = Some(owner);
                }
                Some(("label", pair)) => query.only.labels.push(label(pair)?),
                Some(_) | None => query.words.push(word.to_lowercase()),
            }
        }
        Ok(query)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the store is asked for less than all.
    pub(super) fn asks_store(&self) -> bool {
        self.only != Filter::default()
    }

    /// Whether a task contains every word.
    pub(super) fn lets_through(&self, task: &Task) -> bool {
        let labels = task.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let texts: Vec<String> = [
            task.id.as_str(),
            task.saga_id.as_str(),
            task.queue.as_str(),
            task.kind.as_str(),
            task.state().as_str(),
            holder(task).unwrap_or_default(),
            task.ending().map(|ending| ending.cause.as_str()).unwrap_or_default(),
            task.ending()
                .and_then(|ending| ending.reason.as_ref())
                .map(|reason| reason.as_str())
                .unwrap_or_default(),
        ]
        .map(str::to_lowercase)
        .into_iter()
        .chain(labels.map(|label| label.to_lowercase()))
        .collect();
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}

fn label(pair: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = pair.split_once('=').ok_or("label: expected label:KEY=VALUE")?;
    let told = |error: tenure::core::limit::InvalidField| error.to_string();
    Ok((LabelKey::new(key).map_err(told)?, LabelValue::new(value).map_err(told)?))
}
