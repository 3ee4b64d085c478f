"""Measures DBOS: a life is one durable workflow without steps that a caller runs in its own thread.

DBOS stores the workflow before it runs it, and its result before the call returns. A claim goes through a
queue, whose worker polls: DBOS has no notifications for queues.
"""

import pathlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import psycopg
from dbos import DBOS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from peer_program import expect_equal, fail, parse_arguments, postgres_durability, print_result
from queue_rounds import IDLE_BETWEEN_CLAIMS_SECONDS, STUCK_AFTER_SECONDS, Measurement

QUEUE = "claims"
# The default is a second.
QUEUE_POLL_SECONDS = 0.01
WARM_UP_WORKFLOWS = 50

workflow_started = threading.Event()
workflow_start_ns = 0


@DBOS.workflow()
def empty_workflow() -> int:
    return 1


@DBOS.workflow()
def queued_workflow() -> int:
    global workflow_start_ns
    workflow_start_ns = time.perf_counter_ns()
    workflow_started.set()
    return 1


def run_until(deadline: float) -> Measurement:
    measurement = Measurement()
    while time.perf_counter() < deadline:
        start_ns = time.perf_counter_ns()
        empty_workflow()
        measurement.latencies_ns.append(time.perf_counter_ns() - start_ns)
        measurement.done += 1
    return measurement


def measure_lives(callers: ThreadPoolExecutor, callers_count: int, seconds: float) -> Measurement:
    start = time.perf_counter()
    deadline = start + seconds
    total = Measurement()
    for measurement in callers.map(run_until, [deadline] * callers_count):
        total.done += measurement.done
        total.latencies_ns.extend(measurement.latencies_ns)
    total.seconds = time.perf_counter() - start
    return total


def measure_claims(seconds: float) -> Measurement:
    measurement = Measurement()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        workflow_started.clear()
        enqueue_ns = time.perf_counter_ns()
        handle = DBOS.enqueue_workflow(QUEUE, queued_workflow)
        if not workflow_started.wait(STUCK_AFTER_SECONDS):
            fail("the worker did not start a workflow")
        measurement.latencies_ns.append(workflow_start_ns - enqueue_ns)
        measurement.done += 1
        handle.get_result(polling_interval_sec=IDLE_BETWEEN_CLAIMS_SECONDS)
        time.sleep(IDLE_BETWEEN_CLAIMS_SECONDS)
    measurement.seconds = time.perf_counter() - start
    return measurement


def check(store: str, done: int, done_before: int) -> str:
    with psycopg.connect(store) as connection:
        query = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
        stored = connection.execute(query).fetchone()[0]
        expect_equal("workflows that succeeded", stored - done_before, done)
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")
        }
    return f"{done} workflows are stored as succeeded; {postgres_durability(settings)}"


def main() -> None:
    arguments = parse_arguments(["life3", "claim"])
    store = arguments.store.replace("postgres://", "postgresql://", 1)
    DBOS(
        config={
            "name": "bench",
            "system_database_url": store,
            "sys_db_pool_size": arguments.callers + 4,
            "log_level": "CRITICAL",
        }
    )
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=QUEUE_POLL_SECONDS)
    done_before = arguments.tasks + WARM_UP_WORKFLOWS
    with ThreadPoolExecutor(arguments.callers) as callers:
        list(callers.map(lambda _: empty_workflow(), range(done_before)))
        if arguments.shape == "claim":
            # DBOS starts a worker for a new queue after a while, and tells nobody.
            time.sleep(2)
            measurement = measure_claims(arguments.seconds)
        else:
            measurement = measure_lives(callers, arguments.callers, arguments.seconds)
    checked = check(store, measurement.done, done_before)
    print_result(version("dbos"), measurement.done, measurement.seconds, measurement.latencies_ns, checked)
    DBOS.destroy()


main()
