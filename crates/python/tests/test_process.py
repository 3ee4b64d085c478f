"""The ends of processes: forks, exits, the interpreter's own end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tenure
from tenure import aio
from tenure.testing import ManualClock, Server

#: How many short programs are run of each kind.
RUNS = 300

ASYNCIO = """
import asyncio, sys
import tenure, tenure.aio

async def main():
    ledger = await tenure.aio.open(sys.argv[1])
    id = (await ledger.create(queue=sys.argv[2])).id
    lease = await ledger.acquire(id, owner="w")
    asyncio.create_task(ledger.claim("nothing-here", owner="w", wait=60))
    lease.on_stop(lambda: None)
    await lease.complete()
    # Commands are on their way as the interpreter ends.
    for number in range(5):
        asyncio.create_task(ledger.create(queue=sys.argv[2]))
    await asyncio.sleep(0)

asyncio.run(main())
"""

THREADED = """
import sys, threading
import tenure

ledger = tenure.open(sys.argv[1])
id = ledger.create(queue=sys.argv[2]).id
lease = ledger.acquire(id, owner="w")
lease.on_stop(lambda: None)

def busy():
    while True:
        ledger.create(queue=sys.argv[2])

for number in range(3):
    threading.Thread(target=busy, daemon=True).start()
threading.Thread(target=ledger.claim, args=("nothing-here",), kwargs={"owner": "w", "wait": 60}, daemon=True).start()
lease.complete()
"""


@pytest.mark.parametrize("program", [ASYNCIO, THREADED], ids=["asyncio", "threads"])
def test_short_programs_end_as_they_should(program: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)

    def run(number: int) -> tuple[int, str]:
        # A few files, so that programs also meet on one.
        url = f"sqlite:{tmp_path}/tasks{number % 8}.db"
        ended = subprocess.run(
            [sys.executable, str(script), url, f"q{number}"], capture_output=True, text=True, timeout=120
        )
        return ended.returncode, ended.stderr

    with ThreadPoolExecutor(4) as pool:
        ends = [*pool.map(run, range(RUNS))]
    abnormal = [end for end in ends if end != (0, "")]
    assert not abnormal, f"{len(abnormal)} of {RUNS}: {abnormal[:3]}"


def in_fork(use: Callable[[], object]) -> str:
    """What a use says in a fork of this process; `done` if it is not refused."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            use()
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_each_kind_of_use_is_refused(url: str) -> None:
    ledger = tenure.open(url)
    clock = ManualClock()
    memory = tenure.open("memory:", clock=clock)
    server = Server(memory)
    remote = tenure.open(server.url)
    ledger.create("t", queue="q")
    lease = ledger.acquire("t", owner="w")
    worker = tenure.Worker(ledger, "q")
    worker.otherwise(print)
    recovery = tenure.Recovery(ledger)
    events = ledger.events()
    next(events)
    loop = asyncio.new_event_loop()
    asynchronous = loop.run_until_complete(aio.open(url))
    loop.run_until_complete(asynchronous.create("a"))
    asynchronous_lease = loop.run_until_complete(asynchronous.acquire("a", owner="w"))
    running = tenure.Worker(ledger, "nothing-here")._start(until_idle=False)
    uses: dict[str, Callable[[], object]] = {
        "another namespace": lambda: ledger.in_namespace("elsewhere"),
        "asyncio opens": lambda: asyncio.run(_opened(url)),
        "asyncio": lambda: asyncio.run(_awaited(asynchronous.create("u"))),
        "asyncio lease": lambda: asyncio.run(_awaited(asynchronous_lease.complete())),
        "asyncio lease looks": lambda: asynchronous_lease.check(),
        "running worker": lambda: running.next(None),
        "running worker stops": lambda: running.stop(),
        "open": lambda: tenure.open(url),
        "open another": lambda: tenure.open("memory:"),
        "create": lambda: ledger.create("u"),
        "read": lambda: ledger.get("t"),
        "list": lambda: [*ledger.list()],
        "follow": lambda: [*events, *ledger.events(follow=True)],
        "claim": lambda: ledger.claim("q", owner="w", wait=60),
        "memory": lambda: memory.create("u"),
        "remote": lambda: remote.create("u"),
        "lease": lambda: lease.undo_with("rm", "x", reason="r"),
        "lease ends": lambda: lease.complete(),
        "lease waits": lambda: lease.wait_for_stop(),
        "worker": lambda: worker.run(until_idle=True),
        "recovery": lambda: recovery.once(),
        "close": lambda: ledger.close(),
        "stop": lambda: server.stop(),
    }
    said = {name: in_fork(use) for name, use in uses.items()}
    assert {name: words for name, words in said.items() if not words.startswith("ForkedProcess: ")} == {}
    assert "spawn" in said["open"]
    # The parent has lost nothing by it.
    running.stop()
    loop.run_until_complete(asynchronous_lease.complete())
    loop.close()
    lease.complete()
    ledger.create("u")
    assert ledger.verify()
    server.stop()


async def _opened(url: str) -> None:
    await aio.open(url)


async def _awaited(coroutine: Coroutine[Any, Any, object]) -> object:
    return await coroutine


def _drop_in_child(url: str) -> None:
    with tenure.open(url) as ledger:
        ledger.create("by-child")


def test_objects_that_a_fork_drops_take_nothing_from_the_parent(url: str) -> None:
    ledger = tenure.open(url)
    ledger.create("t")
    held: list[object] = [ledger, ledger.acquire("t", owner="w")]

    def drop() -> None:
        nonlocal ledger
        held.clear()
        del ledger

    assert in_fork(drop) == "done"
    lease = held[1]
    assert isinstance(lease, tenure.KeptLease)
    lease.complete()
    assert ledger.verify()


def test_a_spawned_process_opens_its_own(url: str) -> None:
    with tenure.open(url) as ledger:
        process = multiprocessing.get_context("spawn").Process(target=_drop_in_child, args=(url,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert ledger.get("by-child").state == "planned"


def test_a_process_that_has_not_opened_a_ledger_may_fork(tmp_path: Path) -> None:
    program = """
import os, sys, tenure
pid = os.fork()
if pid == 0:
    with tenure.open(sys.argv[1]) as ledger:
        ledger.create("by-child")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
with tenure.open(sys.argv[1]) as ledger:
    print(ledger.get("by-child").state)
"""
    url = f"sqlite:{tmp_path}/tasks.db"
    ended = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "planned\n", "")


def test_a_second_interpreter_is_refused() -> None:
    subinterpreters = pytest.importorskip("_xxsubinterpreters", reason="this version has no module for them")
    interpreter = subinterpreters.create()
    with pytest.raises(Exception, match="interpreter"):
        subinterpreters.run_string(interpreter, "import tenure")
    subinterpreters.destroy(interpreter)
