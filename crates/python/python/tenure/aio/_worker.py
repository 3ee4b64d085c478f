"""A worker for asyncio: claims the tasks of a queue, and runs a coroutine for each."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from .. import _native
from .._errors import CancelAsked, LeaseLost, TenureError, WorkerStopping, invalid
from .._json import Duration
from .._worker import JobOf, WorkerReport, WorkerSettings, finish, finish_by, not_let_go, nothing_done
from ._lease import KeptLease
from ._ledger import Ledger
from ._waiting import call

#: How often a lease is looked at after a cancel, when nothing else tells whether it is lost.
_LOOK_EVERY = 0.5


class WorkerLease(KeptLease):
    """The lease of a task that a worker claimed."""

    def let_go(self) -> None:
        raise not_let_go()


class Job(JobOf[KeptLease]):
    """A claimed task, for the coroutine that works on it."""


class Worker(WorkerSettings):
    """Claims tasks of a queue, up to ``at_once``, and runs a coroutine for each.

        worker = tenure.aio.Worker(ledger, "agents", at_once=100)

        @worker.on("build")
        async def build(job):
            await job.lease.undo_with("close-pr", job.payload["repo"], reason="opened by this build")
            return {"pr": 12}

        await worker.run()

    It is as ``tenure.Worker``, but a coroutine can be stopped: when its lease is lost it is cancelled; also, after ``grace``, when the worker
    is told to stop, and then the task is released.
    """

    _are_coroutines = True

    def __init__(
        self,
        ledger: Ledger,
        queue: str,
        *,
        owner: str | None = None,
        ttl: Duration | None = None,
        at_once: int = 1,
        grace: Duration = 30,
        margin: Duration | None = None,
        record_timeout: Duration | None = None,
    ) -> None:
        super().__init__(
            ledger._native,
            queue,
            owner=owner,
            ttl=ttl,
            at_once=at_once,
            grace=grace,
            margin=margin,
            record_timeout=record_timeout,
        )
        self._is_stopped = False

    def stop(self) -> None:
        """Tells it to stop. It returns at once; ``run`` returns when running coroutines have ended."""
        self._is_stopped = True
        if self._running is not None:
            self._running.stop()

    async def run(self, *, until_idle: bool = False, signals: bool = True) -> WorkerReport:
        """Runs until it is told to stop, by ``stop()``, SIGTERM or SIGINT; with ``until_idle``, until no task is due.

        ``signals=False`` leaves the signals to the program, such as a web server that has handlers of its own; handlers that the program
        added to its event loop would be lost otherwise.
        """
        self._check_functions()
        if self._running is not None:
            raise invalid("run", "this worker runs already; make another one")
        if self._is_stopped:
            # It was told before it began.
            self._is_stopped = False
            return nothing_done()
        running = self._start(until_idle)
        working: set[asyncio.Task[None]] = set()
        try:
            with stopping_by_signals(self.stop, signals, again=until_idle):
                while (job := await call(running.next)) is not None:
                    task = asyncio.get_running_loop().create_task(self._do(job), name="tenure-job")
                    working.add(task)
                    task.add_done_callback(working.discard)
                return WorkerReport(await call(running.wait, None))
        finally:
            # Also when this is cancelled: what runs is cancelled with it, and its tasks are released.
            running.stop()
            for task in [*working]:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            while (job := await call(running.next)) is not None:
                job.finish("release", "the worker is told to stop", 0.0)
            with suppress(TenureError):
                # The ends of the tasks are recorded then.
                await call(running.wait, None)
            self._running, self._is_stopped = None, False

    async def _do(self, native: _native.Job) -> None:
        lease = WorkerLease(native.lease, "leave")
        try:
            finish(native, lease, await self._watched(native, lease))
        except asyncio.CancelledError as error:
            # Only a worker that stops cancels this; else the function raised it by itself.
            is_stopping = native.is_stopping
            finish_by(native, lease, WorkerStopping("the worker is told to stop") if is_stopping else error)
            if is_stopping:
                raise
        except BaseException as error:
            # Nobody awaits it; the task says it.
            finish_by(native, lease, error)

    async def _watched(self, native: _native.Job, lease: KeptLease) -> Any:
        """Runs the function until it must stop."""
        loop = asyncio.get_running_loop()
        work: asyncio.Future[Any] = asyncio.ensure_future(self._of(lease.task)(Job(native, lease)))
        reasons = [
            loop.create_task(self._until_lost(lease)),
            loop.create_task(self._until_cancelled(lease)),
            loop.create_task(self._until_grace_is_over(native)),
        ]
        try:
            await asyncio.wait((work, *reasons), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _end(work)
                raise next(reason.result() for reason in reasons if reason.done())
            return work.result()
        except asyncio.CancelledError:
            await _end(work)
            raise
        finally:
            for reason in reasons:
                reason.cancel()
            await asyncio.gather(*reasons, return_exceptions=True)

    async def _until_lost(self, lease: KeptLease) -> TenureError:
        while (loss := lease.loss) is None:
            await call(lease._native.wait, None)
            if not lease.lost:
                # A cancel or an end ended this wait, and would end every further one.
                await asyncio.sleep(_LOOK_EVERY)
        return LeaseLost(loss)

    async def _until_cancelled(self, lease: KeptLease) -> TenureError:
        while not lease.cancel_asked:
            await call(lease._native.wait, None)
            if not lease.cancel_asked:
                await asyncio.sleep(_LOOK_EVERY)
        await asyncio.sleep(self._grace)
        return CancelAsked("it was asked to stop")

    async def _until_grace_is_over(self, native: _native.Job) -> TenureError:
        while not await call(native.wait_for_stop, 3600.0):
            pass
        await asyncio.sleep(self._grace)
        return WorkerStopping("the worker is told to stop")


async def _end(work: asyncio.Future[Any]) -> None:
    """Cancels a function, and waits until it has ended. What it raises then is not what counts."""
    work.cancel()
    await asyncio.wait((work,))
    if not work.cancelled():
        work.exception()


@contextmanager
def stopping_by_signals(stop: Callable[[], object], wanted: bool, *, again: bool) -> Generator[None, None, None]:
    """Calls ``stop`` on SIGTERM and SIGINT, if this is the main thread: only there an event loop hears signals.

    What would have ended by itself, ``again``, was interrupted: the signal comes again when it has stopped.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []

    def told(number: int) -> None:
        came.append(number)
        stop()

    for number in numbers:
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            handler = before[number]
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came and again:
            signal.raise_signal(came[0])
