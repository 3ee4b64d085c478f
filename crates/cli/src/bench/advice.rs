//! What the figures mean, in sentences.

use tenure::core::time::Span;

use super::measured::{Measured, What, grouped};

/// What kind of store was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Memory,
    File,
    Database,
    Server,
}

/// Faster than any disk that keeps what it was given.
const TOO_FAST: Span = Span::from_micros(15);
/// A disk without a cache that survives a power failure.
const SLOW_SYNC: Span = Span::from_millis(5);
/// A network that is not in one place.
const FAR: Span = Span::from_millis(5);
/// How often a holder renews its lease, with the default of 60 s.
const HEARTBEAT_SECONDS: u64 = 20;

/// One sentence or two for each thing that matters.
pub(super) fn advice(kind: Kind, measured: &[Measured]) -> Vec<String> {
    let find = |what| measured.iter().find(|one| one.what == what);
    let mut sentences = Vec::new();
    if kind == Kind::Memory {
        sentences.push("This store is in memory: it is gone when its process ends.".to_owned());
    }
    if let Some(sync) = find(What::Sync) {
        sentences.push(of_the_disk(sync));
    }
    if let Some(trip) = find(What::RoundTrip) {
        sentences.push(of_the_network(kind, trip));
    }
    if let Some(commands) = measured.iter().rfind(|one| one.what == What::Command) {
        let tasks = commands.per_second() * 3_600 / 6 / 2;
        sentences.push(format!(
            "Half of what it can do is {} tasks an hour, each with three heartbeats.",
            grouped(tasks)
        ));
    }
    if let Some(heartbeats) = find(What::Heartbeat) {
        let workers = heartbeats.per_second() * HEARTBEAT_SECONDS / 2;
        sentences.push(format!(
            "Half of its heartbeats are enough for {} leases that are renewed every {HEARTBEAT_SECONDS} s.",
            grouped(workers)
        ));
    }
    sentences
}

fn of_the_disk(sync: &Measured) -> String {
    let (took, rate) = (sync.median_shown(), grouped(sync.per_second()));
    match sync.median() {
        median if median < TOO_FAST => format!(
            "The disk syncs in {took}, faster than a disk can: what it was given may be in memory only, and lost with the \
             power. Keep the store on another one."
        ),
        median if median >= SLOW_SYNC => format!(
            "The disk is slow: a sync takes {took}, so a single caller gets at most {rate} commands a second. An SSD that \
             survives a power failure needs less than 1 ms. Many callers share a sync."
        ),
        _ => format!(
            "The disk is fit: a sync takes {took}, so a single caller can get up to {rate} commands a second."
        ),
    }
}

fn of_the_network(kind: Kind, trip: &Measured) -> String {
    let (took, whom) =
        (trip.median_shown(), if kind == Kind::Server { "the server" } else { "the database" });
    match trip.median() >= FAR {
        true => format!(
            "A round trip to {whom} takes {took}, which each command needs at least once: run workers closer to it, in the \
             same zone."
        ),
        false => format!("The network is fit: a round trip to {whom} takes {took}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(what: What, micros: u64) -> Measured {
        Measured::of(what, 1, vec![micros; 100], Span::from_micros(micros * 100))
    }

    #[test]
    fn a_disk_is_fit_slow_or_too_fast_to_be_true() {
        let words = |micros| advice(Kind::File, &[of(What::Sync, micros)]).concat();
        assert!(
            words(200)
                .starts_with("The disk is fit: a sync takes 0.20 ms, so a single caller can get up to 5,000")
        );
        assert!(words(8_000).starts_with("The disk is slow: a sync takes 8.00 ms"), "{}", words(8_000));
        assert!(words(2).contains("faster than a disk can"), "{}", words(2));
    }

    #[test]
    fn a_far_database_is_told() {
        let words = |kind, micros| advice(kind, &[of(What::RoundTrip, micros)]).concat();
        assert!(words(Kind::Database, 300).contains("a round trip to the database takes 0.30 ms"));
        assert!(words(Kind::Server, 40_000).contains("closer to it"));
    }

    #[test]
    fn capacity_is_half_of_what_was_measured() {
        let words = advice(Kind::Memory, &[of(What::Command, 1_000), of(What::Heartbeat, 100)]);
        assert_eq!(words[1], "Half of what it can do is 300,000 tasks an hour, each with three heartbeats.");
        assert_eq!(
            words[2],
            "Half of its heartbeats are enough for 100,000 leases that are renewed every 20 s."
        );
    }
}
