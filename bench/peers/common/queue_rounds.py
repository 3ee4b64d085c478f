"""How queues are measured: creating and working in turns, and the latency of a claim."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from peer_program import fail

# The first round fills the queue for this share of the time. How long each half takes is not known before.
FIRST_FILL_SHARE = 0.02
# Each later round of filling and working takes about this share of the time.
ROUND_SHARE = 0.5
STUCK_AFTER_SECONDS = 60.0
# Between two claims, so that the worker is idle again when the next task is created.
IDLE_BETWEEN_CLAIMS_SECONDS = 0.01


@dataclass
class Measurement:
    done: int = 0
    seconds: float = 0.0
    latencies_ns: list[int] = field(default_factory=list)


class HandledJobs:
    """What the job handler of a program has seen."""

    def __init__(self):
        self.count = 0
        self._last_start_ns = 0
        self._changed = asyncio.Event()

    def record(self) -> None:
        """The handler calls this first."""
        self._last_start_ns = time.perf_counter_ns()
        self.count += 1
        self._changed.set()

    async def start_of(self, job: int) -> int:
        while self.count < job:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), STUCK_AFTER_SECONDS)
            except TimeoutError:
                fail("the worker did not start a task")
        return self._last_start_ns


async def call_until(callers: int, seconds: float, call: Callable[[int], Awaitable[int]]) -> Measurement:
    """Lets each caller make one call after the other until the time is up.

    A call gets the number of its caller and returns how many pieces of work it did.
    """
    measurement = Measurement()
    start = time.perf_counter()
    deadline = start + seconds

    async def one_caller(caller: int) -> None:
        while time.perf_counter() < deadline:
            call_start_ns = time.perf_counter_ns()
            done = await call(caller)
            measurement.latencies_ns.append(time.perf_counter_ns() - call_start_ns)
            measurement.done += done

    await asyncio.gather(*(one_caller(caller) for caller in range(callers)))
    measurement.seconds = time.perf_counter() - start
    return measurement


async def alternate(
    seconds: float,
    fill: Callable[[float], Awaitable[int]],
    work: Callable[[int], Awaitable[float]],
) -> Measurement:
    """Fills the queue with `fill`, then works it off with `work`, again and again until the time is up.

    `fill` creates jobs for the seconds that it is given and returns how many it created. `work` handles that
    many jobs and returns how long that took, without what comes before the start of a worker and after its
    last job.
    """
    measurement = Measurement()
    fill_seconds = seconds * FIRST_FILL_SHARE
    while measurement.seconds < seconds:
        start = time.perf_counter()
        created = await fill(fill_seconds)
        filling = time.perf_counter() - start
        round_seconds = filling + await work(created)
        measurement.seconds += round_seconds
        measurement.done += created
        fill_seconds = seconds * ROUND_SHARE * filling / round_seconds
    return measurement


async def measure_claims(
    seconds: float, handled: HandledJobs, create: Callable[[], Awaitable[None]]
) -> Measurement:
    """Creates one task after the other for a worker that is already waiting.

    The latency of a task is the time from before its creation until its start.
    """
    measurement = Measurement()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        job = handled.count + 1
        create_start_ns = time.perf_counter_ns()
        await create()
        measurement.latencies_ns.append(await handled.start_of(job) - create_start_ns)
        measurement.done += 1
        await asyncio.sleep(IDLE_BETWEEN_CLAIMS_SECONDS)
    measurement.seconds = time.perf_counter() - start
    return measurement
