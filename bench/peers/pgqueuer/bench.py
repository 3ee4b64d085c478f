"""Measures PgQueuer.

Jobs are enqueued, queue managers work them off, and a job that succeeded moves to the log. Single calls have
the settings of the project's own benchmark: five queue managers in one process, each with a connection of its
own, that fetch ten jobs at once. Batches have one manager that fetches many, which was the fastest of several
tries.
"""

import asyncio
import logging
import pathlib
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from peer_program import Arguments, expect_equal, parse_arguments, postgres_durability, print_result
from queue_rounds import HandledJobs, Measurement, alternate, call_until, measure_claims

ENTRYPOINT = "empty_job"
SINGLE_MANAGERS = 5
SINGLE_FETCH = 10
BATCHED_MANAGERS = 1
BATCHED_FETCH = 1000
WARM_UP_JOBS = 100
# A manager whose queue ran empty while its last jobs are in flight looks again after this time.
DRAIN_POLL = timedelta(milliseconds=10)


@dataclass
class PgQueuer:
    arguments: Arguments
    pool: asyncpg.Pool
    producer: Queries
    handled: HandledJobs

    @property
    def batched(self) -> bool:
        return self.arguments.shape == "life3-batch"

    async def enqueue(self, jobs: int) -> int:
        if jobs == 1:
            await self.producer.enqueue(ENTRYPOINT, b"work")
        else:
            await self.producer.enqueue([ENTRYPOINT] * jobs, [b"work"] * jobs, [0] * jobs)
        return jobs

    async def fill(self, seconds: float) -> int:
        jobs = self.arguments.batch if self.batched else 1
        return (await call_until(self.arguments.callers, seconds, lambda _: self.enqueue(jobs))).done

    async def new_manager(self) -> tuple[QueueManager, asyncpg.Connection]:
        connection = await asyncpg.connect(self.arguments.store)
        manager = QueueManager(Queries(AsyncpgDriver(connection)))

        @manager.entrypoint(ENTRYPOINT)
        async def empty_job(job: Job) -> None:
            self.handled.record()

        return manager, connection

    async def work(self, jobs: int) -> float:
        fetch = BATCHED_FETCH if self.batched else SINGLE_FETCH
        managers_count = BATCHED_MANAGERS if self.batched else SINGLE_MANAGERS
        managers = [await self.new_manager() for _ in range(managers_count)]
        handled_before = self.handled.count
        start = time.perf_counter()
        # A manager writes what it still has to write before its run ends.
        await asyncio.gather(
            *(
                manager.run(batch_size=fetch, mode=QueueExecutionMode.drain, dequeue_timeout=DRAIN_POLL)
                for manager, _ in managers
            )
        )
        seconds = time.perf_counter() - start
        expect_equal("jobs that the handler saw", self.handled.count - handled_before, jobs)
        for _, connection in managers:
            await connection.close()
        return seconds

    async def measure_claims(self) -> Measurement:
        manager, connection = await self.new_manager()
        running = asyncio.create_task(manager.run(batch_size=SINGLE_FETCH))
        # The manager tells nobody when it listens.
        await asyncio.sleep(0.5)

        async def create() -> None:
            await self.enqueue(1)

        measurement = await measure_claims(self.arguments.seconds, self.handled, create)
        manager.shutdown.set()
        await running
        await connection.close()
        return measurement

    async def count(self, query: str) -> int:
        return await self.pool.fetchval(query)

    async def check(self, done: int) -> str:
        expect_equal("jobs in the queue", await self.count("SELECT count(*) FROM pgqueuer"), 0)
        logged = await self.count(
            "SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'"
        )
        expect_equal("jobs logged as successful", logged - self.arguments.tasks - WARM_UP_JOBS, done)
        settings = {
            name: await self.pool.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")
        }
        return f"{done} jobs are logged as successful and none is left; {postgres_durability(settings)}"


async def main() -> None:
    arguments = parse_arguments(["life3", "life3-batch", "claim"])
    logging.disable(logging.CRITICAL)
    async with asyncpg.create_pool(
        arguments.store, min_size=arguments.callers, max_size=arguments.callers
    ) as pool:
        producer = Queries(AsyncpgPoolDriver(pool))
        await producer.install()
        peer = PgQueuer(arguments, pool, producer, HandledJobs())
        for jobs in (arguments.tasks, WARM_UP_JOBS):
            if jobs > 0:
                await peer.enqueue(jobs)
                await peer.work(jobs)
        if arguments.shape == "claim":
            measurement = await peer.measure_claims()
        else:
            measurement = await alternate(arguments.seconds, peer.fill, peer.work)
        checked = await peer.check(measurement.done)
    print_result(
        version("pgqueuer"), measurement.done, measurement.seconds, measurement.latencies_ns, checked
    )


uvloop.run(main())
