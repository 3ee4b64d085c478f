"""Workers: threads and processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tenure


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


def test_each_task_is_worked_on_by_the_function_of_its_kind(ledger: tenure.Ledger) -> None:
    for number in range(10):
        ledger.create(f"b{number}", queue="q", kind="build", payload={"n": number})
    ledger.create("other", queue="q", kind="unheard-of")
    worker = tenure.Worker(ledger, "q", at_once=4)

    @worker.on("build")
    def build(job: tenure.Job) -> dict[str, int]:
        job.lease.undo_with("rm", f"/tmp/{job.id}", reason="made here")
        return {"square": job.payload["n"] ** 2}

    report = worker.run(until_idle=True)
    assert (report.claimed, report.completed, report.quarantined) == (11, 10, 1)
    assert ledger.get("b7").result == {"square": 49}
    parked = ledger.get("other")
    assert parked.terminal_reason is not None and "unheard-of" in parked.terminal_reason


def test_an_exception_says_how_the_task_ends(ledger: tenure.Ledger) -> None:
    worker = tenure.Worker(ledger, "q")
    ends: dict[str, Callable[[], object]] = {
        "rolls-back": lambda: 1 / 0,
        "later": lambda: _raise(tenure.RetryLater("busy", delay=3600)),
        "fails": lambda: _raise(tenure.FailTask("no such repo")),
        "parks": lambda: _raise(tenure.QuarantineTask("needs a look")),
        "no-json": lambda: object(),
    }
    for id in ends:
        ledger.create(id, queue="q")

    @worker.otherwise
    def work(job: tenure.Job) -> object:
        return ends[job.id]()

    report = worker.run(until_idle=True)
    states = {id: ledger.get(id).state for id in ends}
    assert states == {
        "rolls-back": "compensated",
        "later": "planned",
        "fails": "failed",
        "parks": "quarantined",
        "no-json": "compensated",
    }
    assert (report.rolled_back, report.released, report.failed, report.quarantined) == (2, 1, 1, 1)


def _raise(error: Exception) -> None:
    raise error


def test_a_function_may_end_its_task_itself(ledger: tenure.Ledger) -> None:
    ledger.create("t", queue="q")
    worker = tenure.Worker(ledger, "q")

    @worker.otherwise
    def work(job: tenure.Job) -> None:
        job.lease.release("not today", delay=3600)

    assert worker.run(until_idle=True).completed == 1
    assert ledger.get("t").state == "planned"


def test_a_worker_that_is_told_to_stop_gives_running_work_its_grace_and_releases_the_rest(
    ledger: tenure.Ledger,
) -> None:
    for id in ("quick", "slow", "waits"):
        ledger.create(id, queue="q")
    worker = tenure.Worker(ledger, "q", at_once=2, grace=1)
    begun = threading.Barrier(3)

    @worker.otherwise
    def work(job: tenure.Job) -> None:
        begun.wait(30)
        while job.id == "slow":
            job.lease.progress(still="here")
            time.sleep(0.05)
        while not job.is_stopping:
            time.sleep(0.01)

    def stop() -> None:
        begun.wait(30)
        worker.stop()

    threading.Thread(target=stop).start()
    report = worker.run()
    assert (report.claimed, report.completed, report.released) == (2, 1, 1)
    assert {id: ledger.get(id).state for id in ("quick", "slow", "waits")} == {
        "quick": "completed",
        "slow": "planned",
        "waits": "planned",
    }


PROGRAM = """
import os, sys, time
import tenure

ledger = tenure.open(sys.argv[1])
worker = tenure.Worker(ledger, "q", grace=1)

@worker.on("sleeps")
def sleeps(job):
    time.sleep(3600)

@worker.on("dies")
def dies(job):
    os._exit(3)

@worker.on("adds")
def adds(job):
    return {"sum": sum(job.payload), "pid": os.getpid()}

if __name__ == "__main__":
    print("running", flush=True)
    processes = int(sys.argv[2]) or None
    print(worker.run(processes=processes, until_idle=len(sys.argv) > 3), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def start(program: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(program), *arguments], stdout=subprocess.PIPE, text=True)


def test_sigterm_drains(ledger: tenure.Ledger, url: str, program: Path) -> None:
    with start(program, url, "0") as process:
        ledger.create("t", queue="q", kind="adds", payload=[1, 2])
        assert ledger.wait("t", timeout=60).result["sum"] == 3
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "completed=1" in out


def test_processes_share_the_work(ledger: tenure.Ledger, url: str, program: Path) -> None:
    for number in range(20):
        ledger.create(f"t{number}", queue="q", kind="adds", payload=[number, 1])
    with start(program, url, "2", "until-idle") as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "completed=20" in out, out
    results = [ledger.get(f"t{number}").result for number in range(20)]
    assert [result["sum"] for result in results] == [number + 1 for number in range(20)]
    assert process.pid not in {result["pid"] for result in results}


def test_a_process_that_dies_is_replaced_and_its_task_is_rolled_back_at_once(
    ledger: tenure.Ledger, url: str, program: Path
) -> None:
    ledger.create("bad", queue="q", kind="dies", lease_ttl=3600)
    with start(program, url, "1") as process:
        bad = ledger.wait("bad", timeout=60)
        assert bad.state == "compensated" and bad.terminal_reason is not None
        assert "status 3" in bad.terminal_reason
        ledger.create("good", queue="q", kind="adds", payload=[1])
        assert ledger.wait("good", timeout=60).state == "completed"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert "rolled_back=1" in out


def test_a_process_that_does_not_stop_is_killed_and_its_task_is_released(
    ledger: tenure.Ledger, url: str, program: Path
) -> None:
    ledger.create("t", queue="q", kind="sleeps", lease_ttl=3600)
    with start(program, url, "1") as process:
        until(lambda: ledger.get("t").state == "running")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "released=1" in out
    assert ledger.get("t").state == "planned"


def test_processes_that_are_refused_are_not_started_again_and_again(ledger: tenure.Ledger) -> None:
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure.Worker(ledger, "no such queue").run(processes=2)
    assert refused.value.field == "queue"


def test_a_worker_that_is_told_before_it_begins_does_not_begin(ledger: tenure.Ledger) -> None:
    ledger.create("t", queue="q")
    worker = tenure.Worker(ledger, "q")
    worker.stop()
    assert worker.run().completed == 0


def test_words_that_no_record_can_hold_do_not_end_a_worker(ledger: tenure.Ledger) -> None:
    worker = tenure.Worker(ledger, "q")
    words = iter(["caf\udce9", "\0", "", "x" * 10_000])

    @worker.otherwise
    def work(job: tenure.Job) -> None:
        raise tenure.FailTask(next(words))

    for number in range(4):
        ledger.create(f"t{number}", queue="q")
    assert worker.run(until_idle=True).failed == 4


def test_processes_need_a_store_that_they_can_reach(tenure_ledger: tenure.Ledger) -> None:
    with pytest.raises(tenure.InvalidInput, match="file"):
        tenure.Worker(tenure_ledger, "q").run(processes=2)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5])
def test_a_number_of_threads_that_is_none_is_refused(ledger: tenure.Ledger, wrong: int) -> None:
    with pytest.raises(tenure.InvalidInput, match="at_once"):
        tenure.Worker(ledger, "q", at_once=wrong)
