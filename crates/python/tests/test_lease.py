"""Leases that are kept: renewal, loss, cancel, and what leaving a block does."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time

import pytest

import tenure


def hold_the_interpreter_lock(seconds: float) -> None:
    """As a library does that computes without letting other threads of Python run."""
    # A function of a PyDLL is called with the lock held.
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def test_work_that_holds_the_interpreter_lock_for_three_ttls_keeps_its_lease(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with ledger.acquire("t", owner="w", ttl=1) as lease:
        hold_the_interpreter_lock(3.2)
        assert not lease.lost
        assert lease.complete({"pr": 12}).result == {"pr": 12}
    assert ledger.get("t").state == "completed"


def test_work_that_makes_no_progress_loses_its_lease(ledger: tenure.Ledger) -> None:
    ledger.create("t", lease_ttl=1, stall_after=2)
    with pytest.raises(tenure.LeaseLost):
        with ledger.acquire("t", owner="w") as lease:
            assert lease.wait_for_stop(timeout=30)
            assert lease.lost and lease.loss is not None
            lease.progress(percent=40)
    # It is given up a moment before it ends.
    deadline = time.monotonic() + 30
    while not ledger.get("t").stale:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_progress_keeps_a_lease_that_would_stall(ledger: tenure.Ledger) -> None:
    ledger.create("t", lease_ttl=1, stall_after=2)
    with ledger.acquire("t", owner="w") as lease:
        for percent in range(7):
            lease.progress(percent=percent)
            assert not lease.wait_for_stop(timeout=0.5)
        lease.complete()


def test_an_exception_rolls_the_task_back(ledger: tenure.Ledger) -> None:
    ledger.create("t", max_attempts=2)
    with pytest.raises(ZeroDivisionError):
        with ledger.acquire("t", owner="w") as lease:
            lease.undo_with("rm", "/tmp/x", reason="made by this run")
            _ = 1 / 0
    task = ledger.get("t")
    assert (task.state, task.owed) == ("compensating", 1)
    assert task.unwinding is not None and task.unwinding.reason == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("on_error", "state"),
    [("fail", "failed"), ("release", "planned"), ("quarantine", "quarantined"), ("leave", "running")],
)
def test_an_exception_ends_the_task_as_was_asked(ledger: tenure.Ledger, on_error: str, state: str) -> None:
    ledger.create("t")
    with pytest.raises(RuntimeError):
        with ledger.acquire("t", owner="w", on_error=on_error):  # type: ignore[call-overload]
            raise RuntimeError("ä" * 5_000)
    assert ledger.get("t").state == state


def test_a_block_that_is_left_without_an_end_is_logged_and_the_lease_lapses(
    ledger: tenure.Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.create("t")
    with caplog.at_level(logging.WARNING, "tenure"):
        with ledger.acquire("t", owner="w", ttl=1) as lease:
            pass
        assert lease.ended
        deadline = time.monotonic() + 30
        while not ledger.get("t").stale or "it will lapse" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert caplog.text.count("it will lapse") == 1


def test_a_cancel_is_raised_at_the_next_call_and_rolls_back(ledger: tenure.Ledger) -> None:
    ledger.create("t", cancel_grace=10)
    called = threading.Event()
    with pytest.raises(tenure.CancelAsked):
        with ledger.acquire("t", owner="w", ttl=1) as lease:
            lease.on_stop(called.set)
            ledger.cancel("t", reason="not needed", as_="alice")
            assert lease.wait_for_stop(timeout=30)
            assert lease.cancel_asked and not lease.lost
            assert called.wait(30)
            lease.progress(percent=1)
    assert ledger.get("t").cause == "cancelled"


def test_a_lease_that_somebody_took_is_lost_at_the_next_call(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with pytest.raises(tenure.LeaseLost) as lost:
        with ledger.acquire("t", owner="w") as lease:
            ledger.quarantine("t", reason="needs a look", as_="alice")
            lease.undo_with("rm", "x", reason="r")
    assert lost.value.code == "terminal"


def test_a_holder_labels_its_task_while_it_works(ledger: tenure.Ledger) -> None:
    ledger.create("t", labels={"issue": "168"})
    with ledger.acquire("t", owner="w") as lease:
        lease.label(branch="fix-168", set={"pull-request": "12"})
        assert lease.label(unset=["issue"]).labels == {"branch": "fix-168", "pull-request": "12"}
        assert [task.id for task in ledger.list(labels={"branch": "fix-168"})] == ["t"]
        lease.complete()
    assert lease.task.labels == {"issue": "168"}


def test_a_lost_lease_labels_nothing(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with pytest.raises(tenure.LeaseLost):
        with ledger.acquire("t", owner="w") as lease:
            ledger.quarantine("t", reason="needs a look", as_="alice")
            lease.label(branch="fix-168")
    assert ledger.get("t").labels == {}


def test_two_callers_one_lease(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with ledger.acquire("t", owner="a") as lease:
        with pytest.raises(tenure.LeaseConflict):
            ledger.acquire("t", owner="b")
        lease.complete()


def test_a_claim_waits_for_work_and_takes_what_comes(ledger: tenure.Ledger) -> None:
    assert ledger.claim("q", owner="w", wait=0.05) == []
    threading.Timer(0.2, lambda: ledger.create("t", queue="q")).start()
    (lease,) = ledger.claim("q", owner="w", wait=30)
    with lease:
        assert lease.id == "t"
        lease.checkpoint({"step": 3})
        lease.release("enough for today")
    (task,) = ledger.claim("q", owner="w2", keep=False)
    assert task.checkpoint == {"step": 3}


def test_the_holder_undoes_it_itself(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with ledger.acquire("t", owner="w") as lease:
        lease.undo_with("rm", "x", reason="r")
        lease.settle(1, receipt="gone")
        lease.fail("no such repo")
    task = ledger.get("t")
    assert (task.state, task.compensations[0].receipt) == ("failed", "gone")


def test_fail_needs_no_compensation_where_nothing_was_done(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with ledger.acquire("t", owner="w") as lease:
        lease.fail("no such repo")
    assert ledger.get("t").state == "failed"


def interrupt_soon() -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_ctrl_c_interrupts_every_wait(ledger: tenure.Ledger) -> None:
    ledger.create("t", queue="other")
    with pytest.raises(KeyboardInterrupt):
        interrupt_soon()
        ledger.claim("q", owner="w", wait=60)
    with pytest.raises(KeyboardInterrupt):
        interrupt_soon()
        ledger.wait("t")
    with pytest.raises(KeyboardInterrupt):
        interrupt_soon()
        next(ledger.events(after=ledger.newest(), follow=True))
    with ledger.acquire("t", owner="w") as lease:
        with pytest.raises(KeyboardInterrupt):
            interrupt_soon()
            lease.wait_for_stop()
        lease.complete()


def test_an_interrupted_claim_keeps_no_task(ledger: tenure.Ledger) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt_soon()
        ledger.claim("q", owner="w", wait=60)
    ledger.create("t", queue="q")
    (task,) = ledger.claim("q", owner="w2", wait=30, keep=False)
    assert task.lease is not None and task.lease.owner == "w2"


def test_an_interrupted_acquire_keeps_no_lease(ledger: tenure.Ledger) -> None:
    for number in range(20):
        id = f"t{number}"
        ledger.create(id)
        lease = None
        timer = threading.Timer(number / 10_000, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            lease = ledger.acquire(id, owner="w", ttl=3600)
            time.sleep(10)
        timer.join()
        if lease is not None:
            lease.release("it came before the interrupt")
    deadline = time.monotonic() + 30
    while [*ledger.list(state="running")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_wrong_end_is_refused_before_the_lease_is_taken(ledger: tenure.Ledger) -> None:
    ledger.create("t")
    with pytest.raises(tenure.InvalidInput, match="on_error"):
        ledger.acquire("t", owner="w", on_error="explode")  # type: ignore[call-overload]
    assert ledger.get("t").state == "planned"


def test_logging_hears_what_the_library_says(ledger: tenure.Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.create("t")
    with caplog.at_level(logging.WARNING):
        lease = ledger.acquire("t", owner="w")
        lease.let_go()
        deadline = time.monotonic() + 30
        while "dropped before its task was ended" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert any(record.name.startswith("tenure.keeper") for record in caplog.records)
