"""Commands, lists, errors."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tenure
from tenure.testing import ManualClock, Server


def test_each_refusal_has_its_class(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    ledger = tenure_ledger
    ledger.create("t", compensations=[tenure.Compensation("rm", "x")])
    with pytest.raises(tenure.Conflict) as exists:
        ledger.create("t")
    assert exists.value.code == "exists" and not isinstance(exists.value, tenure.LeaseConflict)
    ledger.acquire("t", owner="a", keep=False)
    with pytest.raises(tenure.LeaseConflict) as leased:
        ledger.acquire("t", owner="b", keep=False)
    assert leased.value.code == "leased"
    assert leased.value.held_by is not None and leased.value.held_by.owner == "a"
    assert leased.value.retry_at == tenure_clock.now() + timedelta(seconds=60)
    with pytest.raises(tenure.LeaseConflict, match="stale_epoch|epoch"):
        ledger.complete("t", owner="a", epoch=7)
    with pytest.raises(tenure.NotFound):
        ledger.get("nobody")
    assert ledger.find("nobody") is None
    ledger.complete("t", owner="a", epoch=1)
    with pytest.raises(tenure.TerminalTask):
        ledger.acquire("t", owner="b", keep=False)
    with pytest.raises(tenure.InvalidInput) as invalid:
        ledger.create("a b")
    assert invalid.value.field == "id"
    assert isinstance(invalid.value, ValueError)


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(tenure.Unavailable):
        tenure.open(f"sqlite:{tmp_path}/missing/tasks.db")
    with pytest.raises(tenure.TenureError):
        tenure.open(f"sqlite:{tmp_path}/tasks.db", create=False)
    with pytest.raises(tenure.Unavailable), tenure.open("http://127.0.0.1:9") as ledger:
        ledger.create("t")


def test_a_wrong_url_says_which_forms_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tenure.InvalidInput, match="sqlite:"):
        tenure.open("tasks.db")
    monkeypatch.delenv("TENURE_STORE", raising=False)
    with pytest.raises(tenure.InvalidInput, match="TENURE_STORE"):
        tenure.open()


def test_arguments_of_another_type_are_refused_by_their_names(ledger: tenure.Ledger) -> None:
    create: Any = ledger.create
    wrong: dict[str, dict[str, Any]] = {
        "not_before": {"not_before": "2026-01-01"},
        "labels": {"labels": ["a"]},
        "compensations": {"compensations": ["x"]},
        "policy": {"policy": {"max_attempts": 3}},
        "policy.backoff": {"backoff": 5},
    }
    for field, given in wrong.items():
        with pytest.raises(tenure.InvalidInput) as refused:
            create("t", **given)
        assert refused.value.field == field
    with pytest.raises(tenure.InvalidInput, match="memory:"):
        tenure.open("sqlite::memory:")


def test_a_path_is_that_of_a_file(tmp_path: Path) -> None:
    with tenure.open(tmp_path / "tasks.db") as ledger:
        ledger.create("t")
    with tenure.open(f"sqlite://{tmp_path}/tasks.db", create=False) as ledger:
        assert ledger.get("t").state == "planned"


def test_what_is_not_given_comes_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENURE_STORE", url)
    monkeypatch.setenv("TENURE_NAMESPACE", "elsewhere")
    with tenure.open() as ledger:
        assert ledger.create("t").namespace == "elsewhere"


def test_a_closed_ledger_says_so(ledger: tenure.Ledger) -> None:
    ledger.close()
    with pytest.raises(tenure.InvalidInput, match="closed"):
        ledger.create("t")


def test_a_repeat_with_the_same_request_id_gets_the_first_answer(ledger: tenure.Ledger) -> None:
    first = ledger.create("t", request_id="r1")
    assert ledger.create("t", request_id="r1") == first
    with pytest.raises(tenure.Conflict) as reused:
        ledger.create("u", request_id="r1")
    assert reused.value.code == "request_reused"


def test_lists_are_filtered_and_go_on_over_pages(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    for number in range(250):
        tenure_ledger.create(f"t{number}", queue="q" if number % 2 else "p", labels={"n": str(number % 5)})
    assert len([*tenure_ledger.list()]) == 250
    assert len([*tenure_ledger.list(queue="q", labels={"n": "1"})]) == 25
    assert next(tenure_ledger.list(order="oldest")).id == "t0"
    tenure_ledger.acquire("t1", owner="w", keep=False)
    assert [task.id for task in tenure_ledger.list(owner="w")] == ["t1"]
    assert [task.id for task in tenure_ledger.in_flight()] == ["t1"]
    tenure_clock.advance(60)
    assert [task.id for task in tenure_ledger.stale()] == ["t1"]
    assert [task.id for task in tenure_ledger.list(state="running", open=True)] == ["t1"]
    with pytest.raises(tenure.InvalidInput) as refused:
        next(tenure_ledger.list(state="wrong"))
    assert refused.value.field == "state"


def test_the_history_is_read_and_followed(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    before = ledger.newest()
    ledger.create("u")
    assert [event.task for event in ledger.events()] == ["t", "u"]
    assert [event.task for event in ledger.events(after=before)] == ["u"]
    assert [event.type for event in ledger.events("t")] == ["created"]
    following = ledger.events(after=ledger.newest(), follow=True)
    threading.Timer(0.1, ledger.create, ("later",)).start()
    assert next(following).task == "later"


def test_a_named_cursor_goes_on_behind_what_was_handled(ledger: tenure.Ledger) -> None:
    for id in ("a", "b", "c"):
        ledger.create(id)
    seen: list[str | None] = []
    for event in ledger.events(cursor_name="mailer"):
        seen.append(event.task)
        if event.task == "b":
            # Nothing says that b was handled.
            break
    assert seen == ["a", "b"]
    (place,) = ledger.cursors()
    assert (place.name, place.behind, place.more) == ("mailer", 2, False) and place.lag is not None
    assert [event.task for event in ledger.events(cursor_name="mailer")] == ["b", "c"]
    assert not list(ledger.events(cursor_name="mailer"))
    ledger.create("later")
    following = ledger.events(cursor_name="mailer", follow=True)
    assert next(following).task == "later"
    threading.Timer(0.1, ledger.create, ("last",)).start()
    # Nothing was there for a while, so the place is stored before the next one comes.
    assert next(following).task == "last"
    assert [one.behind for one in ledger.cursors()] == [1]


def test_a_named_cursor_moves_forward_only_and_is_forgotten(ledger: tenure.Ledger) -> None:
    ledger.create("a")
    (a,) = ledger.events()
    ledger.create("b")
    moved = ledger.move_cursor("mailer", ledger.newest())
    assert moved.behind == 0 and moved.lag is None
    with pytest.raises(tenure.Conflict) as back:
        ledger.move_cursor("mailer", a.cursor)
    assert back.value.code == "stale_write"
    # Two loops with one name: the slower one is told.
    slow = ledger.events(cursor_name="digest")
    next(slow)
    ledger.create("c")
    ledger.move_cursor("digest", ledger.newest())
    with pytest.raises(tenure.Conflict) as overtaken:
        list(slow)
    assert overtaken.value.code == "stale_write"
    assert ledger.forget_cursor("mailer").cursor == moved.cursor
    assert [one.name for one in ledger.cursors()] == ["digest"]
    with pytest.raises(tenure.NotFound):
        ledger.forget_cursor("mailer")
    for wrong in (ledger.events("a", cursor_name="mailer"), ledger.events(after=a.cursor, cursor_name="mailer")):
        with pytest.raises(tenure.InvalidInput) as refused:
            next(wrong)
        assert refused.value.field == "cursor_name"


def test_open_stands_for_several_states_beside_others(ledger: tenure.Ledger) -> None:
    for id in ("waits", "ended", "cancelled"):
        ledger.create(id)
    task = ledger.acquire("ended", owner="w", keep=False)
    ledger.complete("ended", owner="w", epoch=task.epoch)
    ledger.cancel("cancelled", reason="not needed", as_="alice")
    assert {task.id for task in ledger.list(state=("open", "completed"))} == {"waits", "ended"}
    assert [task.id for task in ledger.list(state="open")] == ["waits"]


def test_wait_returns_when_the_task_has_ended(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    assert not ledger.wait("t", timeout=0.05).is_ended
    threading.Timer(0.1, ledger.cancel, ("t",), {"reason": "not needed", "as_": "alice"}).start()
    ended = ledger.wait("t", timeout=30)
    assert ended.is_ended and ended.cause == "cancelled"


def test_many_commands_are_answered_in_order(ledger: tenure.Ledger) -> None:
    created, refused, claimed = ledger.transact(
        [
            {"verb": "create", "id": "t", "queue": "q"},
            {"verb": "create", "id": "t"},
            {"verb": "claim", "queue": "q", "owner": "w"},
        ]
    )
    assert isinstance(created, tenure.Task) and created.id == "t"
    assert isinstance(refused, tenure.Conflict)
    assert isinstance(claimed, list) and claimed[0].state == "running"


def test_a_failed_task_is_put_right_by_an_operator(tenure_ledger: tenure.Ledger) -> None:
    ledger = tenure_ledger.acting_as("alice")
    ledger.create("t", compensations=[tenure.Compensation("rm", "x")])
    ledger.fail("t", reason="no such repo")
    again = ledger.retry("t", reason="it is there now", new_id="t2")
    assert (again.id, again.retry_of, ledger.get("t").retried_as) == ("t2", "t", "t2")
    ledger.note("t", "seen", dismiss=True)
    why = ledger.why("t")
    assert "t is failed" in str(why) and why.notes[0].by == "alice" and why.notes[0].dismisses
    assert [event.actor for event in ledger.events("t")] == ["alice"] * 4


def test_reports(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    ledger = tenure_ledger
    ledger.create("t")
    ledger.acquire("t", owner="w", keep=False)
    assert ledger.now() == tenure_clock.now()
    assert [holding.owner for holding in ledger.owners()] == ["w"]
    assert ledger.namespaces() == ("default",)
    overview = ledger.overview()
    assert {count.state: count.count for count in overview.states if count.count} == {"running": 1}
    assert [(one.planned, one.in_flight) for one in overview.queues] == [(0, 1)]
    assert sum(minute.completed for minute in overview.minutes) == sum(end.last_hour for end in overview.ends)
    anchor = ledger.anchor()
    report = ledger.verify(anchor=anchor)
    assert report and report.tasks == 1
    assert ledger.verify("t")
    with pytest.raises(tenure.InvalidInput) as refused:
        ledger.verify(anchor="no anchor")
    assert refused.value.field == "anchor"


def test_a_record_is_put_and_a_changed_one_is_not_overwritten(tenure_ledger: tenure.Ledger) -> None:
    task = tenure_ledger.create("t", queue="q")
    changed = tenure_ledger.put({**task.to_dict(), "priority": 5})
    assert changed.priority == 5
    with pytest.raises(tenure.Conflict) as stale:
        tenure_ledger.put(task)
    assert stale.value.code == "stale_write"


def test_fields_are_set_again_if_somebody_else_changed_the_record_meanwhile(
    tenure_ledger: tenure.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival, read = tenure_ledger.acting_as("rival"), tenure_ledger.get
    tenure_ledger.create("t", queue="q", labels={"issue": "168"}, not_before=tenure_ledger.now() + timedelta(hours=1))
    priorities = [1, 2]

    def overtaken(id: str) -> tenure.Task:
        task = read(id)
        if priorities:
            rival.set(id, priority=priorities.pop())
        return task

    monkeypatch.setattr(tenure_ledger, "get", overtaken)
    changed = tenure_ledger.set("t", queue="other", labels={"n": "1"}, not_before=None, policy=tenure.Policy(max_attempts=3))
    assert (changed.queue, changed.priority, changed.labels, changed.not_before) == ("other", 1, {"n": "1"}, None)
    assert (changed.policy.max_attempts, changed.policy.lease_ttl) == (3, timedelta(seconds=60))
    priorities.extend(range(3, 20))
    with pytest.raises(tenure.Conflict) as refused:
        tenure_ledger.set("t", queue="third")
    assert refused.value.code == "stale_write"


def test_fields_of_the_revision_that_was_read_are_set_or_none(tenure_ledger: tenure.Ledger) -> None:
    read = tenure_ledger.create("t")
    assert tenure_ledger.set("t", payload={"a": 1}, revision=read.revision).payload == {"a": 1}
    with pytest.raises(tenure.Conflict) as refused:
        tenure_ledger.set("t", payload={"a": 2}, revision=read.revision)
    assert refused.value.code == "stale_write"
    assert tenure_ledger.get("t").payload == {"a": 1}


def test_labels_change_while_the_task_is_held(tenure_ledger: tenure.Ledger) -> None:
    ledger = tenure_ledger
    ledger.create("t", labels={"issue": "168", "old": "x"})
    task = ledger.acquire("t", owner="w", keep=False)
    ledger.label("t", set={"branch": "fix-168"}, unset="old", owner="w", epoch=task.epoch)
    labelled = ledger.label("t", set={"issue": "169"}, unset=["unheard-of"], reason="triage", as_="alice")
    assert labelled.labels == {"branch": "fix-168", "issue": "169"}
    assert [event.actor for event in ledger.events("t") if event.type == "labelled"] == ["w", "alice"]
    wrong: Any = {"set": {"set": ["a"]}, "unset": {"unset": 3}}
    for field, given in wrong.items():
        with pytest.raises(tenure.InvalidInput) as refused:
            ledger.label("t", **given)
        assert refused.value.field == field


def test_what_a_person_undid_by_hand_has_a_receipt_and_their_name(tenure_ledger: tenure.Ledger) -> None:
    ledger = tenure_ledger.acting_as("alice")
    undos = [tenure.Compensation("rm", "x"), tenure.Compensation("rm", "y"), tenure.Compensation("rm", "z")]
    ledger.create("t", compensations=undos)
    ledger.acquire("t", owner="w", keep=False)
    settled = ledger.settle("t", 3, receipt="removed z", reason="the disk was full")
    assert (settled.state, settled.owed) == ("running", 2)
    ended = ledger.compensate("t", reason="cleaned", waive={1: "gone"}, receipts={2: "removed y"})
    assert [(one.status, one.receipt, one.settled_by) for one in ended.compensations] == [
        ("waived", None, None),
        ("done", "removed y", "alice"),
        ("done", "removed z", "alice"),
    ]


def test_a_retry_does_not_undo_again_what_was_undone_by_hand(tenure_ledger: tenure.Ledger) -> None:
    ledger = tenure_ledger.acting_as("alice")
    ledger.create("t", on_failure="quarantine")
    task = ledger.acquire("t", owner="w", keep=False)
    ledger.register("t", "rm", "x", owner="w", epoch=task.epoch)
    parked = ledger.fail("t", owner="w", epoch=task.epoch, reason="no idea")
    assert (parked.state, parked.cause, parked.owed) == ("quarantined", "failed", 1)
    again = ledger.retry("t", reason="there is an idea", receipts={1: "removed x"})
    assert (again.state, again.compensations) == ("planned", ())


def test_a_record_moves_in_while_it_is_worked_on(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    expires_at = tenure_clock.now() + timedelta(seconds=30)
    record: dict[str, tenure.Json] = {
        "id": "t",
        "state": "running",
        "lease": {"owner": "w", "expires_at": expires_at.isoformat()},
        "compensations": [{"kind": "rm", "target": "x"}],
    }
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure_ledger.put(record)
    assert refused.value.field == "reason"
    task = tenure_ledger.put(record, reason="moves in", as_="alice")
    assert task.lease is not None
    assert (task.lease.owner, task.lease.expires_at, task.epoch, task.owed) == ("w", expires_at, 1, 1)
    reserved = {"id": "u", "state": "dispatched", "reservation": record["lease"]}
    assert tenure_ledger.put(reserved, reason="moves in").reservation is not None
    assert tenure_ledger.complete("t", owner="w", epoch=1).state == "completed"


def test_a_lapsed_task_for_either_is_left_to_other_owners_first(
    tenure_ledger: tenure.Ledger, tenure_clock: ManualClock
) -> None:
    ledger = tenure_ledger
    ledger.create("t", on_lapse="either", recover_after=timedelta(minutes=5), compensations=[tenure.Compensation("rm", "x")])
    ledger.acquire("t", owner="a", keep=False)
    tenure_clock.advance(60)
    with pytest.raises(tenure.LeaseConflict) as refused:
        ledger.reclaim("t", owner="rec")
    assert refused.value.code == "not_due"
    task = ledger.acquire("t", owner="b", keep=False)
    assert (task.epoch, task.owed) == (2, 1)
    assert task.last_lease is not None
    assert (task.last_lease.owner, task.last_lease.epoch, task.last_lease.until) == ("a", 1, tenure_clock.now())


def test_tasks_are_found_by_who_held_them_last(tenure_ledger: tenure.Ledger) -> None:
    ledger = tenure_ledger
    for id, owner in (("t", "a"), ("u", "b"), ("v", "a")):
        ledger.create(id)
        ledger.acquire(id, owner=owner, keep=False)
    for id, owner in (("t", "a"), ("u", "b")):
        ledger.complete(id, owner=owner, epoch=1)
    assert [task.id for task in ledger.list(last_owner="a")] == ["t"]
    assert [task.id for task in ledger.list(state="open")] == ["v"]
    with pytest.raises(tenure.InvalidInput) as refused:
        next(ledger.list(last_owner="a b"))
    assert refused.value.field == "last_owner"


def test_tokens_are_created_listed_and_revoked(tenure_server: Server, tenure_ledger: tenure.Ledger) -> None:
    admin = tenure_ledger.create_token("root", role="admin", namespaces=["*"], as_="alice")
    new = tenure_ledger.create_token("ci", role="worker", expires=timedelta(days=90), as_="alice")
    assert new.token not in repr(new)
    assert [token.name for token in tenure_ledger.tokens()] == ["root", "ci"]
    assert (new.role, new.namespaces, new.created_by) == ("worker", ("default",), "alice")
    with tenure.open(tenure_server.url, token=new.token) as ledger:
        ledger.create("t")
        assert [event.actor for event in ledger.events("t")] == ["ci"]
        with pytest.raises(tenure.Forbidden):
            ledger.cancel("t", reason="a worker may not")
    with tenure.open(tenure_server.url, token=admin.token) as ledger:
        assert ledger.revoke_token("ci").revoked_by == "root"
    with pytest.raises(tenure.TenureError), tenure.open(tenure_server.url, token=new.token) as ledger:
        ledger.get("t")
    with pytest.raises(tenure.InvalidInput):
        tenure_ledger.create_token("x", role="king")  # type: ignore[arg-type]


def test_parts_are_loaded_when_they_are_used() -> None:
    said = "import sys, tenure; assert 'asyncio' not in sys.modules; print(tenure.testing.ManualClock, tenure.aio.open)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).returncode == 0
    with pytest.raises(AttributeError, match="unheard_of"):
        getattr(tenure, "unheard_of")


def test_a_server_is_used_like_a_file(tenure_server: Server, tenure_clock: ManualClock) -> None:
    with tenure.open(tenure_server.url) as ledger:
        ledger.create("t")
        ledger.acquire("t", owner="w", keep=False)
        tenure_clock.advance(timedelta(seconds=60))
        assert ledger.get("t").stale


def test_threads_share_a_ledger(ledger: tenure.Ledger) -> None:
    failures: list[BaseException] = []

    def live(number: int) -> None:
        try:
            for one in range(20):
                id = f"t{number}-{one}"
                ledger.create(id)
                task = ledger.acquire(id, owner="w", keep=False)
                ledger.complete(id, owner="w", epoch=task.epoch)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(1 for _ in ledger.list(state="completed")) == 320
