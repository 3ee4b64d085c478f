//! What is stored and what is hashed of an event.

use tenure_core::id::{Actor, Namespace};

use super::*;

fn text<T>(
    new: impl FnOnce(&'static str) -> Result<T, tenure_core::limit::InvalidField>,
    text: &'static str,
) -> T {
    new(text).expect("valid")
}

#[test]
fn a_compensation_is_as_flat_in_the_history_as_in_the_record() {
    let undo = Undo {
        kind: text(Kind::new, "close-pr"),
        target: text(Text::new, "12"),
        reason: Some(text(Reason::new, "opened by this run")),
    };
    let registered = EventData::Registered { seq: Seq(1), undo: undo.clone() };
    let written = r#"{"seq":1,"kind":"close-pr","target":"12","reason":"opened by this run"}"#;
    assert_eq!(data(&registered), written);
    assert_eq!(read_data("registered", written), Some(registered));
    let standing = Compensation::new(Seq(2), Undo { reason: None, ..undo }, Registered::BeforeLease);
    let written = r#"{"seq":2,"kind":"close-pr","target":"12","registered":"before_lease","status":"standing","tries":0}"#;
    assert_eq!(to_json(&standing), written);
    assert_eq!(read_json(written), Some(standing));
}

#[test]
fn what_is_not_as_it_is_written_is_not_read() {
    for (kind, data) in [
        ("replanned", "{ }"),
        ("replanned", r#"{"more":1}"#),
        ("cancel_asked", r#"{"reason":" "}"#),
        ("retried", r#"{"reason":"x","successor":"t"}"#),
        ("lapsed", "{}"),
        ("unknown", "{}"),
        ("replanned", "{}}, {\"replanned\":{}"),
    ] {
        assert_eq!(read_data(kind, data), None, "{kind} {data}");
    }
    assert!(read_data("replanned", "{}").is_some());
}

#[test]
fn every_type_of_a_stored_event_has_its_word_and_no_other_has_one() {
    use std::collections::BTreeSet;
    use tenure_core::event::EventKind;

    // serde names every variant where it finds none.
    let unknown = EventData::take(&mut serde_json::Deserializer::from_str(r#"{"nothing":{}}"#));
    let told = unknown.expect_err("there is no such event").to_string();
    let mut stored: BTreeSet<&str> = told.split('`').skip(3).step_by(2).collect();
    // A heartbeat and a progress are applied only; an end has the word of its state.
    assert!(stored.remove("renewed") && stored.remove("progressed") && stored.remove("ended"), "{told}");
    stored.extend(["completed", "failed", "compensated", "quarantined"]);
    assert_eq!(EventKind::ALL.map(EventKind::as_str).into_iter().collect::<BTreeSet<_>>(), stored);
}

fn event(what: EventData) -> Event {
    Event {
        namespace: text(Namespace::new, "default"),
        subject: text(TaskId::new, "t").into(),
        number: Revision(1),
        at: Time::from_micros(1),
        actor: text(Actor::new, "a"),
        what,
    }
}

/// Seals an event, of which that data is stored and hashed.
fn is_sealed(what: &EventData, stored: &str, hashed: &str) {
    let sealed = seal(event(what.clone()), Hash::START);
    assert_eq!(sealed.data, stored);
    assert_eq!(sealed.hash, link(&event(what.clone()), hashed, Hash::START), "{hashed}");
    assert_eq!(sealed.event.what, *what, "its payloads are where they were");
}

#[test]
fn a_payload_is_hashed_by_its_digest() {
    let digest = |payload: &str| Hash::of(payload.as_bytes());
    let payload = Some(text(Document::new, "[1]"));
    let changed = EventData::Changed(Box::new(Changes { payload, ..Changes::default() }));
    is_sealed(&changed, r#"{"payload":[1]}"#, &format!("{{\"payload\":\"{}\"}}", digest("[1]")));
    is_sealed(&EventData::Replanned { not_before: None, lease: None }, "{}", "{}");
}

#[test]
fn two_payloads_of_an_event_keep_their_places() {
    let lease = LeaseEnd {
        owner: text(Owner::new, "w"),
        epoch: Epoch(1),
        heartbeat_at: Time::from_micros(0),
        progressed_at: Time::from_micros(0),
        expires_at: Time::from_micros(0),
        progress: None,
        checkpoint: Some(text(Document::new, "[2]")),
        cancel_told: None,
        overrun: None,
    };
    let ended = EventData::Ended(Box::new(Ended {
        state: Terminal::Completed,
        cause: Cause::Completed,
        reason: None,
        result: Some(text(Document::new, "[1]")),
        compensations: Vec::new(),
        settled: Vec::new(),
        waived: Vec::new(),
        finished_at: Time::from_micros(0),
        lease: Some(lease),
    }));
    let stored = data(&ended);
    let result = stored.find("\"result\":[1]").expect("its result");
    assert!(stored.find("\"checkpoint\":[2]").is_some_and(|checkpoint| checkpoint > result), "{stored}");
    let quoted = |payload: &str| format!(":\"{}\"", Hash::of(payload.as_bytes()));
    let hashed = stored.replace(":[1]", &quoted("[1]")).replace(":[2]", &quoted("[2]"));
    is_sealed(&ended, &stored, &hashed);
}
