"""Measures a hand-written lease table. Callers are processes that work on the same file."""

import multiprocessing
import pathlib
import sqlite3
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from peer_program import Arguments, expect_equal, fail, parse_arguments, print_result, require

from lease_table import LeaseTable

HEARTBEATS = {"life3": 0, "life6": 3, "processes": 3}
WARM_UP_LIVES = 50
# What PRAGMA synchronous answers for FULL.
SYNCHRONOUS_FULL = 2


@dataclass
class CallerReport:
    done: int = 0
    completed: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    # The time of the last heartbeat that the table confirmed, for each lease of this caller.
    last_heartbeats: dict[str, float] = field(default_factory=dict)
    # On the machine's monotonic clock, which all processes share.
    ended_at: float = 0.0


def live(table: "LeaseTable | TimedTable", lease_id: str, owner: str, heartbeats: int) -> None:
    require(table.create(lease_id), "create")
    epoch = table.acquire(lease_id, owner)
    require(epoch == 1, "acquire")
    for _ in range(heartbeats):
        require(table.heartbeat(lease_id, owner, epoch) is not None, "heartbeat")
    require(table.complete(lease_id, owner, epoch), "complete")


def run_lives(table: LeaseTable, owner: str, heartbeats: int, deadline: float) -> CallerReport:
    report = CallerReport()
    while time.perf_counter() < deadline:
        start = time.perf_counter_ns()
        live(table, f"{owner}-{report.completed}", owner, heartbeats)
        report.latencies_ns.append(time.perf_counter_ns() - start)
        report.completed += 1
    report.done = report.completed
    return report


def run_operations(table: LeaseTable, owner: str, heartbeats: int, deadline: float) -> CallerReport:
    """As run_lives, but one piece of work is one operation."""
    report = CallerReport()
    timed = TimedTable(table, report.latencies_ns)
    while time.perf_counter() < deadline:
        live(timed, f"{owner}-{report.completed}", owner, heartbeats)
        report.completed += 1
    report.done = len(report.latencies_ns)
    return report


class TimedTable:
    """Calls the methods of a table, and notes how long each took."""

    def __init__(self, table: LeaseTable, latencies_ns: list[int]):
        self._table = table
        self._latencies_ns = latencies_ns

    def __getattr__(self, name: str):
        method = getattr(self._table, name)

        def timed(*arguments):
            start = time.perf_counter_ns()
            answer = method(*arguments)
            self._latencies_ns.append(time.perf_counter_ns() - start)
            return answer

        return timed


def run_heartbeats(table: LeaseTable, lease_ids: list[str], owner: str, deadline: float) -> CallerReport:
    report = CallerReport()
    while time.perf_counter() < deadline:
        lease_id = lease_ids[report.done % len(lease_ids)]
        start = time.perf_counter_ns()
        stored_time = table.heartbeat(lease_id, owner, 1)
        report.latencies_ns.append(time.perf_counter_ns() - start)
        require(stored_time is not None, "heartbeat")
        report.last_heartbeats[lease_id] = stored_time
        report.done += 1
    return report


def lease_ids_of(caller: int, arguments: Arguments) -> list[str]:
    return [f"leased-{number:09}" for number in range(caller, arguments.tasks, arguments.callers)]


def run_caller(arguments: Arguments, path: str, caller: int, start_line, reports) -> None:
    table = LeaseTable(path)
    owner = f"worker-{caller}"
    start_line.wait()
    deadline = time.perf_counter() + arguments.seconds
    if arguments.shape == "heartbeats":
        report = run_heartbeats(table, lease_ids_of(caller, arguments), owner, deadline)
    elif arguments.shape == "processes":
        report = run_operations(table, owner, HEARTBEATS[arguments.shape], deadline)
    else:
        report = run_lives(table, owner, HEARTBEATS[arguments.shape], deadline)
    report.ended_at = time.perf_counter()
    reports.put(report)


def prepare(arguments: Arguments, path: str) -> None:
    table = LeaseTable(path)
    table.create_schema()
    if arguments.shape == "heartbeats":
        if arguments.tasks < arguments.callers:
            fail("heartbeats need at least one lease for each caller: give --tasks")
        for caller in range(arguments.callers):
            table.insert_many(lease_ids_of(caller, arguments), "running", f"worker-{caller}")
    else:
        table.insert_many(
            [f"finished-{number:09}" for number in range(arguments.tasks)], "completed", "worker"
        )
    for number in range(WARM_UP_LIVES):
        live(table, f"warm-up-{number}", "warm-up", 0)


def measure(arguments: Arguments, path: str) -> tuple[list[CallerReport], float]:
    context = multiprocessing.get_context("fork")
    start_line = context.Barrier(arguments.callers + 1)
    reports = context.SimpleQueue()
    callers = [
        context.Process(target=run_caller, args=(arguments, path, caller, start_line, reports), daemon=True)
        for caller in range(arguments.callers)
    ]
    for caller in callers:
        caller.start()
    start_line.wait()
    start = time.perf_counter()
    received = []
    while len(received) < len(callers):
        if reports.empty():
            if any(caller.exitcode for caller in callers):
                fail("a caller failed; its error is above")
            time.sleep(0.01)
        else:
            received.append(reports.get())
    return received, max(report.ended_at for report in received) - start


def check(arguments: Arguments, path: str, reports: list[CallerReport]) -> str:
    table = LeaseTable(path)
    settings = table.settings()
    if settings["journal_mode"] != "wal" or settings["synchronous"] < SYNCHRONOUS_FULL:
        fail(f"commits are not durable: {settings}")
    if arguments.shape == "heartbeats":
        stored = table.heartbeat_times()
        for report in reports:
            for lease_id, time_confirmed in report.last_heartbeats.items():
                expect_equal(f"last heartbeat of {lease_id}", stored[lease_id], time_confirmed)
        found = "the last confirmed heartbeat of each lease is stored"
    else:
        completed = sum(report.completed for report in reports)
        expect_equal("completed leases", table.count("completed") - arguments.tasks - WARM_UP_LIVES, completed)
        found = f"{completed} leases are stored as completed"
    return f"{found}; WAL, synchronous=FULL, one commit for each operation"


def main() -> None:
    arguments = parse_arguments([*HEARTBEATS, "heartbeats"])
    path = str(pathlib.Path(arguments.store) / "leases.db")
    prepare(arguments, path)
    reports, seconds = measure(arguments, path)
    done = sum(report.done for report in reports)
    checked = check(arguments, path, reports)
    latencies_ns = [latency for report in reports for latency in report.latencies_ns]
    print_result(sqlite3.sqlite_version, done, seconds, latencies_ns, checked)


main()
