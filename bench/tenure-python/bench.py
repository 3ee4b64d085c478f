"""Measures the Python package of Tenure. Callers are threads of one process, on one ledger; with `--loop` coroutines of one event loop."""

import asyncio
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers" / "common"))
from peer_program import Arguments, expect_equal, parse_arguments, print_result

import tenure
from tenure import aio

HEARTBEATS = {"life3": 0, "life6": 3}
SHAPES = [*HEARTBEATS, "heartbeats"]
OWNER = "host/123/worker-17"
# Longer than any measurement.
LONG = 48 * 3600
WARM_UP = 0.3
FILLED_TOGETHER = 1_000


def life(ledger: tenure.Ledger, id: str, heartbeats: int) -> None:
    ledger.create(id, queue="q", payload={"n": 1})
    epoch = ledger.acquire(id, owner=OWNER, keep=False).epoch
    for beat in range(1, heartbeats + 1):
        ledger.heartbeat(id, owner=OWNER, epoch=epoch, ttl=LONG + beat)
    ledger.complete(id, owner=OWNER, epoch=epoch, result={"ok": True})


async def life_of_loop(ledger: aio.Ledger, id: str, heartbeats: int) -> None:
    await ledger.create(id, queue="q", payload={"n": 1})
    epoch = (await ledger.acquire(id, owner=OWNER, keep=False)).epoch
    for beat in range(1, heartbeats + 1):
        await ledger.heartbeat(id, owner=OWNER, epoch=epoch, ttl=LONG + beat)
    await ledger.complete(id, owner=OWNER, epoch=epoch, result={"ok": True})


class Caller:
    """One caller: what it does next, and how long each piece of work took."""

    def __init__(self, arguments: Arguments, number: int) -> None:
        self.arguments = arguments
        self.number = number
        self.done = 0
        self.latencies_ns: list[int] = []

    def next_life(self) -> str:
        return f"life-{self.number}-{self.done}"

    def next_lease(self) -> str:
        of_a_caller = self.arguments.tasks // self.arguments.callers
        return lease_name(self.number + self.done % of_a_caller * self.arguments.callers)

    def work(self, ledger: tenure.Ledger, deadline: float) -> None:
        heartbeats = HEARTBEATS.get(self.arguments.shape)
        while time.perf_counter() < deadline:
            start = time.perf_counter_ns()
            if heartbeats is None:
                ledger.heartbeat(self.next_lease(), owner=OWNER, epoch=1, ttl=LONG + self.done % 80_000)
            else:
                life(ledger, self.next_life(), heartbeats)
            self.latencies_ns.append(time.perf_counter_ns() - start)
            self.done += 1

    async def work_in_loop(self, ledger: aio.Ledger, deadline: float) -> None:
        heartbeats = HEARTBEATS.get(self.arguments.shape)
        while time.perf_counter() < deadline:
            start = time.perf_counter_ns()
            if heartbeats is None:
                await ledger.heartbeat(self.next_lease(), owner=OWNER, epoch=1, ttl=LONG + self.done % 80_000)
            else:
                await life_of_loop(ledger, self.next_life(), heartbeats)
            self.latencies_ns.append(time.perf_counter_ns() - start)
            self.done += 1


def lease_name(number: int) -> str:
    return f"task-{number:08}"


def fill(ledger: tenure.Ledger, count: int) -> None:
    """Stores tasks with leases."""
    for first in range(0, count, FILLED_TOGETHER):
        names = [lease_name(number) for number in range(first, min(first + FILLED_TOGETHER, count))]
        commands = [{"verb": "create", "id": name} for name in names]
        commands += [{"verb": "acquire", "task": name, "owner": OWNER, "ttl": LONG} for name in names]
        for answer in ledger.transact(commands):
            if isinstance(answer, Exception):
                raise answer


def in_threads(arguments: Arguments, url: str, callers: list[Caller], seconds: float) -> float:
    with tenure.open(url) as ledger:
        start = time.perf_counter()
        threads = [threading.Thread(target=caller.work, args=(ledger, start + seconds)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start


async def in_loop(arguments: Arguments, url: str, callers: list[Caller], seconds: float) -> float:
    async with await aio.open(url) as ledger:
        start = time.perf_counter()
        await asyncio.gather(*(caller.work_in_loop(ledger, start + seconds) for caller in callers))
        return time.perf_counter() - start


def main() -> None:
    is_loop = "--loop" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--loop"]
    arguments = parse_arguments(SHAPES)
    url = arguments.store if "://" in arguments.store else f"sqlite:{arguments.store}/tasks.db"
    with tenure.open(url) as ledger:
        fill(ledger, arguments.tasks)
    callers = [Caller(arguments, number) for number in range(arguments.callers)]

    def run(seconds: float) -> float:
        if is_loop:
            return asyncio.run(in_loop(arguments, url, callers, seconds))
        return in_threads(arguments, url, callers, seconds)

    run(WARM_UP)
    before = sum(caller.done for caller in callers)
    for caller in callers:
        caller.latencies_ns.clear()
    elapsed = run(arguments.seconds)
    done = sum(caller.done for caller in callers) - before
    checked = check(url, arguments, callers, before + done)
    latencies = [latency for caller in callers for latency in caller.latencies_ns]
    print_result(f"tenure {tenure.__version__} (Python)", done, elapsed, latencies, checked)


def check(url: str, arguments: Arguments, callers: list[Caller], completed: int) -> str:
    """Compares with what is stored, and says how."""
    with tenure.open(url, create=False) as ledger:
        if arguments.shape in HEARTBEATS:
            stored = sum(end.all for end in ledger.overview().ends if end.state == "completed")
            expect_equal("completed tasks", stored, completed)
            return f"{stored} tasks are completed; synchronous=FULL by default"
        for caller in callers:
            caller.done -= 1
            lease = ledger.get(caller.next_lease()).lease
            length = None if lease is None else (lease.expires_at - lease.heartbeat_at).total_seconds()
            expect_equal("the last renewal of a caller", length, LONG + caller.done % 80_000)
        return "the last renewal of each caller is stored; synchronous=FULL by default"


if __name__ == "__main__":
    main()
