//! The watch mark, which shows whether recovery ran all the time or was absent.
//!
//! A recovery loop renews the mark each second. A process that finds an old mark knows that no recovery ran for a
//! while. Maybe nobody could renew a lease in that time either. So a lease that lapsed then is left to its holder for
//! one more lease length. The absence stays recorded beside the mark, so that every recovery that returns sees it.

use serde::{Deserialize, Serialize};
use tenure_core::id::{Kind, Namespace, Owner};
use tenure_core::time::{Span, Time};

/// The mark is renewed this often.
pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// A mark older than this means that no recovery ran.
const AWAY_AFTER: Span = Span::from_secs(5);

/// A time in which no recovery ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Absence {
    /// When recovery last ran before it.
    pub from: Time,
    /// When recovery ran again.
    pub until: Time,
}

/// The stored mark: when recovery last ran, and the last absence before that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WatchMark {
    at: Time,
    pub(crate) absence: Option<Absence>,
}

impl WatchMark {
    /// The mark that follows the stored ones, of which the newest counts. The first mark of a store says
    /// nothing about the time before.
    pub(crate) fn renewed<'a>(stored: impl IntoIterator<Item = &'a str>, now: Time) -> WatchMark {
        let stored = stored.into_iter().filter_map(WatchMark::read);
        let Some(before) = stored.max_by_key(|mark| mark.at) else {
            return WatchMark { at: now, absence: None };
        };
        // A clock that was set back does not make the mark younger than it is.
        let at = now.max(before.at);
        let absence = match at.since(before.at) > AWAY_AFTER {
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
    pub(crate) fn written(&self) -> String {
        let at = self.at.as_micros();
        match self.absence {
            Some(Absence { from, until }) => format!("{at} {} {}", from.as_micros(), until.as_micros()),
            None => at.to_string(),
        }
    }
}

/// A recovery process and what it can undo; sent with each renewal of the mark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// The name that it takes leases under. Without one only the mark is renewed.
    pub name: Option<Owner>,
    /// Its namespaces; empty: all.
    pub namespaces: Vec<Namespace>,
    /// The kinds of undo that it handles.
    pub kinds: Vec<Kind>,
}

impl Presence {
    /// The keys of the marks that it renews: that of the whole store, or one for each of its namespaces.
    pub(crate) fn mark_keys(&self) -> Vec<String> {
        match self.namespaces.as_slice() {
            [] => vec![MARK_KEY.to_owned()],
            namespaces => namespaces.iter().map(mark_key).collect(),
        }
    }

    /// The row that tells of it, as key and value.
    pub(crate) fn row(&self, now: Time) -> Option<(String, String)> {
        let name = self.name.as_ref()?;
        let stored = StoredPresence {
            at: now.as_micros(),
            namespaces: self.namespaces.iter().map(Namespace::to_string).collect(),
            kinds: self.kinds.iter().map(Kind::to_string).collect(),
        };
        // Texts and a number can be written.
        Some((format!("{RECOVERER_PREFIX}{name}"), serde_json::to_string(&stored).unwrap_or_default()))
    }
}

/// The key of the mark of the whole store.
pub(crate) const MARK_KEY: &str = "watch";
/// The prefix of the keys of rows about recovery processes.
pub(crate) const RECOVERER_PREFIX: &str = "recovery ";
/// Rows of recovery processes that were not seen for this long are useless.
const FORGOTTEN_AFTER: Span = Span::from_days(1);

/// The key of the mark of one namespace, for recovery processes limited to it.
pub(crate) fn mark_key(namespace: &Namespace) -> String {
    format!("{MARK_KEY} {namespace}")
}

/// What a renewal writes.
pub(crate) struct MarkRenewal {
    /// The marks, and the row of this process.
    pub(crate) written: Vec<(String, String)>,
    /// The keys of rows that need not be kept.
    pub(crate) forgotten: Vec<String>,
    pub(crate) absence: Option<Absence>,
}

impl MarkRenewal {
    /// The renewal by a recovery process, from the stored rows.
    pub(crate) fn of(stored: &[(String, String)], presence: &Presence, now: Time) -> MarkRenewal {
        let value =
            |wanted: &str| stored.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let mut renewal = MarkRenewal { written: Vec::new(), forgotten: Vec::new(), absence: None };
        for key in presence.mark_keys() {
            // A recovery process of the whole store also covers each namespace.
            let mark = WatchMark::renewed([value(MARK_KEY), value(&key)].into_iter().flatten(), now);
            renewal.absence = latest(renewal.absence, mark.absence);
            renewal.written.push((key, mark.written()));
        }
        renewal.written.extend(presence.row(now));
        let rows = stored.iter().filter(|(key, _)| key.starts_with(RECOVERER_PREFIX));
        let forgotten = rows.filter(|(key, value)| Recoverer::is_forgotten(key, value, now));
        renewal.forgotten = forgotten.map(|(key, _)| key.clone()).collect();
        renewal
    }
}

fn latest(one: Option<Absence>, other: Option<Absence>) -> Option<Absence> {
    one.into_iter().chain(other).max_by_key(|absence| absence.until)
}

/// A recovery process, as it was last seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recoverer {
    /// The name that it takes leases under.
    pub name: Owner,
    /// Its namespaces; empty: all.
    pub namespaces: Vec<Namespace>,
    /// The kinds of undo that it handles.
    pub kinds: Vec<Kind>,
    /// When it was last seen.
    pub seen_at: Time,
}

#[derive(Serialize, Deserialize)]
struct StoredPresence {
    at: i64,
    namespaces: Vec<String>,
    kinds: Vec<String>,
}

impl Recoverer {
    /// A row as it is stored; none if it can't be read.
    pub(crate) fn read(key: &str, value: &str) -> Option<Recoverer> {
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
    pub(crate) fn is_forgotten(key: &str, value: &str, now: Time) -> bool {
        Recoverer::read(key, value).is_none_or(|one| now.since(one.seen_at) > FORGOTTEN_AFTER)
    }

    fn looks_after(&self, namespace: &Namespace) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// The recovery processes of a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watchers {
    /// When recovery last ran; none if it never did.
    pub seen_at: Option<Time>,
    /// The processes seen in the last seconds, by name.
    pub recoverers: Vec<Recoverer>,
}

impl Watchers {
    /// The recovery processes of a namespace at `now`, from all stored rows.
    pub(crate) fn of<'a>(
        rows: impl Iterator<Item = (&'a str, &'a str)>,
        namespace: &Namespace,
        now: Time,
    ) -> Watchers {
        let own_key = mark_key(namespace);
        let mut watchers = Watchers::default();
        for (key, value) in rows {
            if key == MARK_KEY || key == own_key {
                watchers.seen_at = watchers.seen_at.max(WatchMark::read(value).map(|mark| mark.at));
            } else if let Some(one) = Recoverer::read(key, value).filter(|one| one.looks_after(namespace)) {
                watchers.seen_at = watchers.seen_at.max(Some(one.seen_at));
                watchers.recoverers.push(one);
            }
        }
        watchers.recoverers.retain(|one| now.since(one.seen_at) <= AWAY_AFTER);
        watchers.recoverers.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        watchers
    }

    /// Whether recovery is running at `now`.
    pub fn are_there(&self, now: Time) -> bool {
        self.seen_at.is_some_and(|seen_at| now.since(seen_at) <= AWAY_AFTER)
    }

    /// A process that handles a kind.
    pub fn handler_of(&self, kind: &Kind) -> Option<&Recoverer> {
        self.recoverers.iter().find(|one| one.kinds.contains(kind))
    }

    /// The kinds that at least one of them handles, by name.
    pub fn kinds(&self) -> Vec<&Kind> {
        let mut kinds: Vec<&Kind> = self.recoverers.iter().flat_map(|one| &one.kinds).collect();
        kinds.sort_by_key(|kind| kind.as_str());
        kinds.dedup();
        kinds
    }
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
