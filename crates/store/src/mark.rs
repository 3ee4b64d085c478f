//! The watch mark as it is stored, and the rows about recovery processes.

use serde::{Deserialize, Serialize};
use tenure_core::id::{Kind, Namespace, Owner};
use tenure_core::time::{Span, Time};

use crate::watch::{Absence, Presence, Recoverer, Watchers};

/// The stored mark: when recovery last ran, and the last absence before that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchMark {
    at: Time,
    /// The last absence before that.
    pub absence: Option<Absence>,
}

impl WatchMark {
    /// The mark that follows the stored ones, of which the newest counts. The first mark of a store says
    /// nothing about the time before.
    pub fn renewed<'a>(stored: impl IntoIterator<Item = &'a str>, now: Time) -> WatchMark {
        let stored = stored.into_iter().filter_map(WatchMark::read);
        let Some(before) = stored.max_by_key(|mark| mark.at) else {
            return WatchMark { at: now, absence: None };
        };
        // A clock that was set back does not make the mark younger than it is.
        let at = now.max(before.at);
        let absence = match at.since(before.at) > Watchers::AWAY_AFTER {
            true => Some(Absence { from: before.at, until: at }),
            false => before.absence,
        };
        WatchMark { at, absence }
    }

    fn read(text: &str) -> Option<WatchMark> {
        let mut numbers = text.split(' ').map(|number| number.parse().ok().map(Time::from_micros));
        let at = numbers.next()??;
        let absence = match (numbers.next(), numbers.next()) {
            (Some(from), Some(until)) => Some(Absence { from: from?, until: until? }),
            (_, _) => None,
        };
        Some(WatchMark { at, absence })
    }

    /// The mark as it is stored: instants in microseconds.
    pub fn written(&self) -> String {
        let at = self.at.as_micros();
        match self.absence {
            Some(Absence { from, until }) => format!("{at} {} {}", from.as_micros(), until.as_micros()),
            None => at.to_string(),
        }
    }
}

/// The keys of the marks that a running recovery process renews: that of the whole store, or one for each of its namespaces.
fn mark_keys(presence: &Presence) -> Vec<String> {
    match presence.namespaces.as_slice() {
        [] => vec![MARK_KEY.to_owned()],
        namespaces => namespaces.iter().map(mark_key).collect(),
    }
}

/// The row that tells who is there, as key and value.
fn presence_row(presence: &Presence, now: Time) -> Option<(String, String)> {
    let name = presence.name.as_ref()?;
    let stored = StoredPresence {
        at: now.as_micros(),
        namespaces: presence.namespaces.iter().map(Namespace::to_string).collect(),
        kinds: presence.kinds.iter().map(Kind::to_string).collect(),
    };
    // Texts and a number can be written.
    Some((format!("{RECOVERER_PREFIX}{name}"), serde_json::to_string(&stored).unwrap_or_default()))
}

/// The key of the mark of the whole store.
pub const MARK_KEY: &str = "watch";
/// The prefix of the keys of rows about recovery processes.
pub const RECOVERER_PREFIX: &str = "recovery ";
/// Rows of recovery processes that were not seen for this long are useless.
const FORGOTTEN_AFTER: Span = Span::from_days(1);

/// The key of the mark of one namespace, for recovery processes limited to it.
pub fn mark_key(namespace: &Namespace) -> String {
    format!("{MARK_KEY} {namespace}")
}

/// What a renewal writes.
pub struct MarkRenewal {
    /// The marks, and the row of this process.
    pub written: Vec<(String, String)>,
    /// The keys of rows that need not be kept.
    pub forgotten: Vec<String>,
    /// The last absence that the marks tell of.
    pub absence: Option<Absence>,
}

impl MarkRenewal {
    /// The renewal by a recovery process, from the stored rows.
    pub fn of(stored: &[(String, String)], presence: &Presence, now: Time) -> MarkRenewal {
        let value =
            |wanted: &str| stored.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let mut renewal = MarkRenewal { written: Vec::new(), forgotten: Vec::new(), absence: None };
        for key in mark_keys(presence) {
            // A recovery process of the whole store also covers each namespace.
            let mark = WatchMark::renewed([value(MARK_KEY), value(&key)].into_iter().flatten(), now);
            renewal.absence = latest(renewal.absence, mark.absence);
            renewal.written.push((key, mark.written()));
        }
        renewal.written.extend(presence_row(presence, now));
        let rows = stored.iter().filter(|(key, _)| key.starts_with(RECOVERER_PREFIX));
        let forgotten = rows.filter(|(key, value)| is_forgotten(key, value, now));
        renewal.forgotten = forgotten.map(|(key, _)| key.clone()).collect();
        renewal
    }
}

fn latest(one: Option<Absence>, other: Option<Absence>) -> Option<Absence> {
    one.into_iter().chain(other).max_by_key(|absence| absence.until)
}

#[derive(Serialize, Deserialize)]
struct StoredPresence {
    at: i64,
    namespaces: Vec<String>,
    kinds: Vec<String>,
}

/// A row as it is stored; none if it can't be read.
fn read_recoverer(key: &str, value: &str) -> Option<Recoverer> {
    let stored: StoredPresence = serde_json::from_str(value).ok()?;
    let named = |names: Vec<String>| names.into_iter().map(Namespace::new).collect::<Result<_, _>>().ok();
    Some(Recoverer {
        name: Owner::new(key.strip_prefix(RECOVERER_PREFIX)?).ok()?,
        namespaces: named(stored.namespaces)?,
        kinds: stored.kinds.into_iter().map(Kind::new).collect::<Result<_, _>>().ok()?,
        seen_at: Time::from_micros(stored.at),
    })
}

/// Whether a row need not be kept any longer.
fn is_forgotten(key: &str, value: &str, now: Time) -> bool {
    read_recoverer(key, value).is_none_or(|one| now.since(one.seen_at) > FORGOTTEN_AFTER)
}

fn looks_after(recoverer: &Recoverer, namespace: &Namespace) -> bool {
    recoverer.namespaces.is_empty() || recoverer.namespaces.contains(namespace)
}

/// Who looks after a namespace at `now`, of everything that is stored.
pub fn watchers_of<'a>(
    rows: impl Iterator<Item = (&'a str, &'a str)>,
    namespace: &Namespace,
    now: Time,
) -> Watchers {
    let own_key = mark_key(namespace);
    let mut watchers = Watchers::default();
    for (key, value) in rows {
        if key == MARK_KEY || key == own_key {
            watchers.seen_at = watchers.seen_at.max(WatchMark::read(value).map(|mark| mark.at));
        } else if let Some(one) = read_recoverer(key, value).filter(|one| looks_after(one, namespace)) {
            watchers.seen_at = watchers.seen_at.max(Some(one.seen_at));
            watchers.recoverers.push(one);
        }
    }
    watchers.recoverers.retain(|one| now.since(one.seen_at) <= Watchers::AWAY_AFTER);
    watchers.recoverers.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    watchers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn after(stored: &WatchMark, secs: i64) -> WatchMark {
        WatchMark::renewed(Some(stored.written().as_str()), at(secs))
    }

    #[test]
    fn an_old_mark_tells_of_an_absence_and_goes_on_telling() {
        let first = WatchMark::renewed(None, at(100));
        assert_eq!(first.absence, None, "a new store was not left alone");
        let there = after(&after(&first, 101), 106);
        assert_eq!(there.absence, None, "five seconds are not yet an absence");
        let back = after(&there, 112);
        assert_eq!(back.absence, Some(Absence { from: at(106), until: at(112) }));
        assert_eq!(after(&back, 113).absence, back.absence, "who comes a second later hears of it, too");
        assert_eq!(after(&back, 200).absence, Some(Absence { from: at(112), until: at(200) }));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_an_absence() {
        let there = WatchMark::renewed(None, at(100));
        assert_eq!(after(&there, 50), there);
    }

    #[test]
    fn a_mark_that_can_not_be_read_is_as_none() {
        assert_eq!(WatchMark::renewed(Some("yesterday"), at(100)), WatchMark::renewed(None, at(100)));
    }
}
