//! Whether a history is in the order of its times. What is imported happened elsewhere, and may have happened before what is there
//! already. A search by time must know.

use tenure_core::time::{Span, Time};

/// The key of `meta` under which a store has it. Without it, the history is in the order of its times.
pub const ORDER_KEY: &str = "history_order";

/// Times that differ from the order of the events by no more are out of order only slightly: a search looks at that much more.
/// PostgreSQL orders events by their commits, so its exports are slightly out of order.
pub const SLIGHTLY: Span = Span::from_secs(60);

/// How the times of events go with their places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryOrder {
    /// Up to this place times may be in any order. Behind it nothing happened much earlier than anything before.
    pub unordered_to: Option<i64>,
    /// Whether times behind that are slightly out of order.
    pub is_slightly_out: bool,
    /// The latest time of the events so far.
    newest: Time,
}

impl HistoryOrder {
    /// What a store has noted, and when its newest event happened.
    pub fn of(noted: Option<&str>, newest: Time) -> HistoryOrder {
        let in_order = HistoryOrder { unordered_to: None, is_slightly_out: false, newest };
        let Some(noted) = noted.and_then(HistoryOrder::read) else { return in_order };
        HistoryOrder { newest: noted.newest.max(newest), ..noted }
    }

    /// Adds an event at the end.
    pub fn note(&mut self, place: i64, at: Time) {
        if at + SLIGHTLY < self.newest {
            self.unordered_to = Some(place);
        }
        self.is_slightly_out |= at < self.newest;
        self.newest = self.newest.max(at);
    }

    /// Whether every event happened after all before it.
    pub fn is_in_order(&self) -> bool {
        self.unordered_to.is_none() && !self.is_slightly_out
    }

    /// As it is noted.
    pub fn to_text(self) -> String {
        let (place, newest) = (self.unordered_to.unwrap_or(i64::MIN), self.newest.as_micros());
        format!("{place} {} {newest}", u8::from(self.is_slightly_out))
    }

    fn read(text: &str) -> Option<HistoryOrder> {
        let mut parts = text.split(' ');
        let place: i64 = parts.next()?.parse().ok()?;
        let is_slightly_out = parts.next()? == "1";
        let newest = Time::from_micros(parts.next()?.parse().ok()?);
        Some(HistoryOrder {
            unordered_to: Some(place).filter(|place| *place != i64::MIN),
            is_slightly_out,
            newest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_happened_long_before_what_is_there_makes_the_places_up_to_it_unordered() {
        let mut order = HistoryOrder::of(None, at(1_000));
        order.note(5, at(1_000));
        order.note(6, at(1_010));
        assert!(order.is_in_order());
        order.note(7, at(980));
        assert_eq!((order.unordered_to, order.is_slightly_out), (None, true));
        order.note(8, at(100));
        order.note(9, at(1_020));
        assert_eq!(order.unordered_to, Some(8));
        assert_eq!(HistoryOrder::of(Some(&order.to_text()), at(0)), order, "as it was noted");
        let later = HistoryOrder::of(Some(&order.to_text()), at(5_000));
        assert_eq!((later.unordered_to, later.newest), (Some(8), at(5_000)));
    }
}
