"""Workers: threads and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tenure
from tenure import aio


def nothing(job: tenure.Job) -> None:
    """The work of a test that needs none."""


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
    worker = tenure.Worker(ledger, "no such queue")
    worker.otherwise(print)
    with pytest.raises(tenure.InvalidInput) as refused:
        worker.run(processes=2)
    assert refused.value.field == "queue"


def test_a_worker_that_is_told_before_it_begins_does_not_begin(ledger: tenure.Ledger) -> None:
    ledger.create("t", queue="q")
    worker = tenure.Worker(ledger, "q")
    worker.otherwise(print)
    for processes in (None, 1):
        worker.stop()
        assert worker.run(processes=processes).claimed == 0
    assert ledger.get("t").state == "planned"
    assert worker.run(until_idle=True).completed == 1, "it was told once"
    recovery = tenure.Recovery(ledger)
    recovery.stop()
    assert recovery.watch().tasks == 0


def test_a_function_that_goes_on_after_the_grace_is_named(
    ledger: tenure.Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.create("hangs", queue="q")
    worker = tenure.Worker(ledger, "q", grace=0)
    go_on = threading.Event()

    @worker.otherwise
    def work(job: tenure.Job) -> None:
        worker.stop()
        assert go_on.wait(60)

    running = threading.Thread(target=worker.run)
    running.start()
    until(lambda: "hangs" in caplog.text)
    assert running.is_alive() and "still running" in caplog.text
    go_on.set()
    running.join(60)
    assert not running.is_alive()


def test_functions_that_would_not_be_run_are_refused(ledger: tenure.Ledger) -> None:
    async def coroutine(job: tenure.Job) -> None: ...

    def generator(job: tenure.Job) -> Iterator[None]:
        yield

    def plain(job: tenure.Job) -> None: ...

    worker, asynchronous = tenure.Worker(ledger, "q"), aio.Worker(ledger, "q")  # type: ignore[arg-type]
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("tenure.aio.Worker", lambda: worker.on("k")(coroutine)),
        ("yield", lambda: worker.otherwise(generator)),
        ("a function, not", lambda: worker.otherwise(None)),  # type: ignore[type-var]
        ("@worker.on", lambda: worker.on(plain)),  # type: ignore[arg-type]
        ("async def", lambda: asynchronous.on("k")(plain)),
        ("no function", lambda: worker.run()),
        ("tenure.aio.Recovery", lambda: tenure.Recovery(ledger).on("rm")(coroutine)),
        ("async def", lambda: aio.Recovery(ledger).on("rm")(plain)),  # type: ignore[arg-type]
    ]
    for words, use in wrong:
        with pytest.raises(tenure.InvalidInput, match=words):
            use()
    worker.otherwise(plain)
    with pytest.raises(tenure.InvalidInput, match="already"):
        worker.otherwise(plain)


def test_a_worker_runs_once_at_a_time(ledger: tenure.Ledger) -> None:
    worker = tenure.Worker(ledger, "q")
    worker.otherwise(nothing)
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(lambda: worker._running is not None)
    with pytest.raises(tenure.InvalidInput, match="runs already"):
        worker.run()
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()


def test_ctrl_c_ends_a_loop_around_what_ends_by_itself(ledger: tenure.Ledger) -> None:
    worker, recovery = tenure.Worker(ledger, "q"), tenure.Recovery(ledger)
    worker.otherwise(nothing)
    for run in (lambda: worker.run(until_idle=True), recovery.once):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                run()


def test_processes_that_can_not_begin_are_not_started_again_and_again(tmp_path: Path, url: str) -> None:
    unguarded = tmp_path / "unguarded.py"
    unguarded.write_text(PROGRAM.replace('if __name__ == "__main__":', "if True:"))
    ended = subprocess.run([sys.executable, str(unguarded), url, "2"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "if __name__ == '__main__':" in ended.stderr
    with tenure.open(url) as ledger:
        worker = tenure.Worker(ledger, "q")

        @worker.otherwise
        def inner(job: tenure.Job) -> None: ...

        with pytest.raises(tenure.InvalidInput, match="top of a module"):
            worker.run(processes=1)


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
    worker = tenure.Worker(tenure_ledger, "q")
    worker.otherwise(print)
    with pytest.raises(tenure.InvalidInput, match="file"):
        worker.run(processes=2)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5])
def test_a_number_of_threads_that_is_none_is_refused(ledger: tenure.Ledger, wrong: int) -> None:
    with pytest.raises(tenure.InvalidInput, match="at_once"):
        tenure.Worker(ledger, "q", at_once=wrong)
