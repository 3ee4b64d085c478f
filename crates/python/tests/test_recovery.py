"""Recovery with handlers in Python."""

from __future__ import annotations

import threading
import time

import pytest

import tenure
from tenure.testing import ManualClock


def stale(ledger: tenure.Ledger, clock: ManualClock, *targets: str, max_attempts: int = 1) -> None:
    """A task whose worker died after it registered these undos."""
    ledger.create("t", max_attempts=max_attempts)
    task = ledger.acquire("t", owner="w", keep=False)
    for target in targets:
        ledger.register("t", "rm", target, owner="w", epoch=task.epoch, reason="made here")
    clock.advance(60)


def test_what_is_owed_is_undone_newest_first_with_receipts(
    tenure_ledger: tenure.Ledger, tenure_clock: ManualClock
) -> None:
    stale(tenure_ledger, tenure_clock, "a", "b")
    undone: list[tenure.UndoCall] = []
    handled: list[tenure.RecoveredTask] = []
    recovery = tenure.Recovery(tenure_ledger, on_recovered=handled.append)

    @recovery.on("rm")
    def remove(undo: tenure.UndoCall) -> str:
        undone.append(undo)
        return f"{undo.target} is gone"

    (planned,) = recovery.plan()
    assert planned.task == "t" and [undo.target for undo in planned.undo] == ["b", "a"]
    report = recovery.once()
    assert (report.tasks, report.undone, report.outcomes["compensated"]) == (1, 2, 1)
    assert [(undo.target, undo.task, undo.tries) for undo in undone] == [("b", "t", 0), ("a", "t", 0)]
    assert len({undo.key for undo in undone}) == 2
    # It left an event of the namespace, and of no task.
    assert not report.unrecorded
    (swept,) = [event for event in tenure_ledger.events() if event.type == "recovery_swept"]
    assert (swept.task, swept.data["compensated"], swept.data["undone"]) == (None, 1, 2)
    assert handled[0].outcome == "compensated" and handled[0].undone[0].receipt == "b is gone"
    task = tenure_ledger.get("t")
    assert task.state == "compensated" and [one.receipt for one in task.compensations] == ["a is gone", "b is gone"]


def test_a_handler_that_gives_up_parks_the_task(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    stale(tenure_ledger, tenure_clock, "a")
    recovery = tenure.Recovery(tenure_ledger)

    @recovery.on("rm")
    def remove(_: tenure.UndoCall) -> str:
        raise tenure.GiveUp("the disk is gone")

    assert recovery.once().outcomes["quarantined"] == 1
    task = tenure_ledger.get("t")
    assert task.cause == "undo_failed" and task.compensations[0].last_error == "the disk is gone"


def test_tries_now_hands_back_what_fails(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    stale(tenure_ledger, tenure_clock, "a")
    handled: list[tenure.RecoveredTask] = []
    recovery = tenure.Recovery(tenure_ledger, tries_now=1, on_recovered=handled.append)

    @recovery.on("rm", tries=2)
    def remove(_: tenure.UndoCall) -> str:
        raise RuntimeError("the disk is away")

    assert recovery.once().outcomes["handed_back"] == 1
    assert "after 1 try" in (handled[0].reason or "")
    assert tenure_ledger.get("t").compensations[0].tries == 1
    tenure_clock.advance(60)
    # The next sweep goes on counting.
    again = tenure.Recovery(tenure_ledger, tries_now=1)
    again.on("rm", tries=2)(remove)
    assert again.once().outcomes["quarantined"] == 1
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure.Recovery(tenure_ledger, tries_now=0)
    assert refused.value.field == "tries_now"


def test_a_kind_that_nobody_handles_parks_the_task_and_undoes_nothing(
    tenure_ledger: tenure.Ledger, tenure_clock: ManualClock
) -> None:
    stale(tenure_ledger, tenure_clock, "a")
    assert tenure.Recovery(tenure_ledger).once().outcomes["quarantined"] == 1
    assert tenure_ledger.get("t").cause == "undo_unhandled"


def test_watch_handles_what_becomes_stale_until_it_is_stopped(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    lease = ledger.acquire("t", owner="w", ttl=1)
    lease.undo_with("rm", "a", reason="made here")
    lease.let_go()
    recovery = tenure.Recovery(ledger)
    tried: list[int] = []

    @recovery.on("rm", tries=3)
    def remove(undo: tenure.UndoCall) -> None:
        tried.append(undo.tries)
        if undo.tries == 0:
            raise OSError("busy")

    reports: list[tenure.RecoveryReport] = []
    thread = threading.Thread(target=lambda: reports.append(recovery.watch()))
    thread.start()
    assert ledger.wait("t", timeout=60).state == "compensated"
    recovery.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert tried == [0, 1]
    assert reports[0].undone == 1
    assert ledger.get("t").compensations[0].receipt == "done"


def test_what_is_no_receipt_is_no_proof(tenure_ledger: tenure.Ledger, tenure_clock: ManualClock) -> None:
    stale(tenure_ledger, tenure_clock, "a")
    recovery = tenure.Recovery(tenure_ledger)

    @recovery.on("rm", tries=1)
    def remove(undo: tenure.UndoCall) -> object:
        return object()

    assert recovery.once().undone == 0
    task = tenure_ledger.get("t")
    assert task.cause == "undo_failed" and "receipt" in (task.compensations[0].last_error or "")


def test_a_handler_is_tested_with_a_call_of_its_own() -> None:
    undo = tenure.UndoCall("rm", "/tmp/x", tries=2)
    assert (undo.kind, undo.target, undo.tries, undo.task) == ("rm", "/tmp/x", 2, "task")
    assert (undo.saga_id, undo.labels, undo.payload) == ("task", {}, None)
    undo = tenure.UndoCall("rm", "/tmp/x", saga_id="saga", labels={"issue": "168"}, payload={"host": "a"})
    assert (undo.saga_id, undo.labels, undo.payload) == ("saga", {"issue": "168"}, {"host": "a"})


def test_a_kind_has_one_handler(tenure_ledger: tenure.Ledger) -> None:
    recovery = tenure.Recovery(tenure_ledger)

    def remove(undo: tenure.UndoCall) -> str:
        return undo.target

    recovery.on("rm")(remove)
    with pytest.raises(tenure.InvalidInput, match="already"):
        recovery.on("rm")(remove)


def test_a_length_that_no_lease_can_have_is_refused_at_once(tenure_ledger: tenure.Ledger) -> None:
    recovery = tenure.Recovery(tenure_ledger, ttl=0.5)
    for begin in (recovery.plan, recovery.once, recovery.watch):
        with pytest.raises(tenure.InvalidInput) as refused:
            begin()
        assert refused.value.field == "ttl"


def test_recovery_rests_when_there_is_nothing_to_do(tenure_ledger: tenure.Ledger) -> None:
    begun = time.monotonic()
    assert tenure.Recovery(tenure_ledger).once().tasks == 0
    assert time.monotonic() - begun < 30
