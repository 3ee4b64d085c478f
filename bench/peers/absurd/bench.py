"""Measures Absurd.

Each caller spawns a task and then claims and completes one, which may be that of another caller.
"""

import asyncio
import pathlib
import sys
from importlib.metadata import version

import psycopg
from absurd_sdk import AsyncAbsurd

# The package of the command line tool is the only one that has the schema.
from absurdctl import BUNDLED_SCHEMA_SQL

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from peer_program import expect_equal, fail, parse_arguments, postgres_durability, print_result
from queue_rounds import HandledJobs, Measurement, call_until, measure_claims

TASK = "empty_task"
WARM_UP_TASKS = 50
# A caller claims no task while each task of the queue is locked by another caller. It then tries again.
ATTEMPTS_MAX = 10_000
# The worker polls: Absurd has no notifications. The default is 0.25 seconds.
WORKER_POLL_SECONDS = 0.01


class Caller:
    """A client with a connection of its own."""

    def __init__(self, store: str, handled: HandledJobs):
        self.client = AsyncAbsurd(store)
        self.completed = 0

        @self.client.register_task(name=TASK)
        async def empty_task(params, context):
            handled.record()
            self.completed += 1
            return 1

    async def spawn(self) -> None:
        await self.client.spawn(TASK, {})

    async def live(self) -> int:
        await self.spawn()
        completed_before = self.completed
        for _ in range(ATTEMPTS_MAX):
            await self.client.work_batch(batch_size=1)
            if self.completed > completed_before:
                return 1
        fail("claimed no task")


async def measure_idle_worker(
    caller: Caller, worker: Caller, seconds: float, handled: HandledJobs
) -> Measurement:
    running = asyncio.create_task(worker.client.start_worker(poll_interval=WORKER_POLL_SECONDS))
    # The worker tells nobody when it has connected.
    await asyncio.sleep(0.5)
    measurement = await measure_claims(seconds, handled, caller.spawn)
    worker.client.stop_worker()
    await running
    return measurement


async def check(connection: psycopg.AsyncConnection, done: int, done_before: int) -> str:
    async def value(query: str):
        return (await (await connection.execute(query)).fetchone())[0]

    stored = await value("SELECT count(*) FROM absurd.t_default WHERE state = 'completed'")
    expect_equal("tasks that are completed", stored - done_before, done)
    settings = {name: await value(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
    return f"{done} tasks are stored as completed; {postgres_durability(settings)}"


async def main() -> None:
    arguments = parse_arguments(["life3", "claim"])
    handled = HandledJobs()
    connection = await psycopg.AsyncConnection.connect(arguments.store, autocommit=True)
    await connection.execute(BUNDLED_SCHEMA_SQL)
    callers = [Caller(arguments.store, handled) for _ in range(arguments.callers)]
    await callers[0].client.create_queue()

    done_before = arguments.tasks + WARM_UP_TASKS
    for number in range(done_before):
        await callers[number % len(callers)].live()
    if arguments.shape == "claim":
        worker = Caller(arguments.store, handled)
        measurement = await measure_idle_worker(callers[0], worker, arguments.seconds, handled)
        await worker.client.close()
    else:
        measurement = await call_until(
            arguments.callers, arguments.seconds, lambda caller: callers[caller].live()
        )

    checked = await check(connection, measurement.done, done_before)
    for caller in callers:
        await caller.client.close()
    await connection.close()
    print_result(
        version("absurd-sdk"), measurement.done, measurement.seconds, measurement.latencies_ns, checked
    )


asyncio.run(main())
