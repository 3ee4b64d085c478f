"""A worker: claims the tasks of a queue, and runs a function for each."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from . import _native
from ._errors import CancelAsked, InvalidInput, LeaseLost, WorkerStopping, invalid
from ._json import Duration, seconds_of, value_text
from ._lease import KeptLease, reason_of, words_of
from ._ledger import Ledger
from ._records import Task
from ._waiting import call

_log = logging.getLogger("tenure.worker")

#: What the end of the work takes to be recorded, after the grace.
_RECORDING = 1.0


class RetryLater(Exception):
    """Raised by a function: the task is released, to be tried again after ``delay``. The attempt does not count."""

    def __init__(self, reason: str, *, delay: Duration = 0) -> None:
        super().__init__(reason)
        self.delay = seconds_of(delay, "delay")


class FailTask(Exception):
    """Raised by a function: the task fails for good, and nothing is undone. Under the policy ``on_failure="quarantine"`` it is parked."""


class QuarantineTask(Exception):
    """Raised by a function: the task is parked for a person."""


def not_let_go() -> InvalidInput:
    return invalid("lease", "the worker ends it: raise RetryLater, or release it")


class WorkerLease(KeptLease):
    """The lease of a task that a worker claimed. ``check`` also raises ``WorkerStopping``, when the worker's grace is over."""

    def __init__(self, native: _native.Lease, is_over: Callable[[], bool]) -> None:
        super().__init__(native, "leave")
        self._is_over = is_over

    def check(self) -> None:
        super().check()
        if self._is_over():
            raise WorkerStopping("the worker is told to stop")

    def let_go(self) -> None:
        raise not_let_go()


class Held(Protocol):
    """What is the same of a lease for threads and of one for an event loop."""

    @property
    def id(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def payload(self) -> Any: ...
    @property
    def ended(self) -> bool: ...


AnyLease = TypeVar("AnyLease", bound=Held)


class JobOf(Generic[AnyLease]):
    """A claimed task, for the function that works on it."""

    def __init__(self, native: _native.Job, lease: AnyLease) -> None:
        self._native = native
        #: The lease: register undos, report progress, and learn that the work must stop.
        self.lease = lease

    @property
    def task(self) -> Task:
        """The task as it was claimed."""
        return self.lease.task

    @property
    def id(self) -> str:
        """The task's id."""
        return self.lease.id

    @property
    def payload(self) -> Any:
        """The task's payload."""
        return self.lease.payload

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was told to stop, so that a good place to end soon would be welcome."""
        return self._native.is_stopping

    def __repr__(self) -> str:
        return f"<Job {self.id!r}>"


class Job(JobOf[KeptLease]):
    """A claimed task, for the function that works on it."""


COUNTS = ("claimed", "completed", "rolled_back", "released", "failed", "quarantined", "lost", "unrecorded")


class WorkerReport:
    """How many tasks a worker claimed, and how they ended. What a process did that died is not in it, but for the task that it held."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        #: Tasks that were claimed.
        self.claimed = counts["claimed"]
        #: Completed, or ended in another way by their function.
        self.completed = counts["completed"]
        #: Rolled back.
        self.rolled_back = counts["rolled_back"]
        #: Given back.
        self.released = counts["released"]
        #: Failed.
        self.failed = counts["failed"]
        #: Parked for a person.
        self.quarantined = counts["quarantined"]
        #: Lost: somebody else took over, or the lease could not be renewed.
        self.lost = counts["lost"]
        #: Ended, but the end could not be recorded.
        self.unrecorded = counts["unrecorded"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkerReport) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).items()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={count}" for name, count in vars(self).items() if count or name == "claimed")
        return f"WorkerReport({shown})"


Function = TypeVar("Function", bound=Callable[..., Any])


def check_kind(kind: object, example: str) -> None:
    """Refuses what is no kind, such as the function of a decorator without its parentheses."""
    if not isinstance(kind, str) or not kind:
        raise invalid("kind", f"a text, as in `{example}`")


def check_function(function: object, are_coroutines: bool, name: str) -> None:
    """Refuses a function of the other sort: it would not be run, or not be stopped."""
    if not callable(function):
        raise invalid("function", f"a function, not {type(function).__name__}")
    is_coroutine = iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))
    if isasyncgenfunction(function) or isgeneratorfunction(function):
        raise invalid("function", "it has a `yield`, so that calling it would not run it; return its result")
    if is_coroutine and not are_coroutines:
        raise invalid("function", f"it is a coroutine function; give it to `tenure.aio.{name}`")
    if are_coroutines and not is_coroutine:
        raise invalid("function", f"it must be `async def`; a function that blocks is for `tenure.{name}`")


class WorkerSettings:
    """The functions of a worker by the kind of task, and its settings, whether they block or are coroutines."""

    #: Whether the functions are coroutine functions.
    _are_coroutines = False

    def __init__(
        self,
        native: _native.Ledger,
        queue: str,
        *,
        owner: str | None,
        ttl: Duration | None,
        at_once: int,
        grace: Duration,
        margin: Duration | None,
        record_timeout: Duration | None,
    ) -> None:
        self._native = native
        self._queue = queue
        self._owner = owner
        self._at_once = at_once_of(at_once)
        self._grace = seconds_of(grace, "grace")
        self._ttl = None if ttl is None else seconds_of(ttl, "ttl")
        self._margin = None if margin is None else seconds_of(margin, "margin")
        self._record_timeout = None if record_timeout is None else seconds_of(record_timeout, "record_timeout")
        self._by_kind: dict[str, Callable[[Any], Any]] = {}
        self._otherwise: Callable[[Any], Any] | None = None
        self._running: _native.Worker | None = None

    def on(self, kind: str) -> Callable[[Function], Function]:
        """A decorator: the function works on tasks of that kind. What it returns is the task's result."""
        check_kind(kind, "@worker.on('build')")

        def register(function: Function) -> Function:
            check_function(function, self._are_coroutines, "Worker")
            if kind in self._by_kind:
                raise invalid("kind", f"there is a function for {kind} already")
            self._by_kind[kind] = function
            return function

        return register

    def otherwise(self, function: Function) -> Function:
        """A decorator: the function works on tasks of all other kinds. Without one these are parked for a person."""
        check_function(function, self._are_coroutines, "Worker")
        if self._otherwise is not None:
            raise invalid("function", "there is one for all other kinds already")
        self._otherwise = function
        return function

    def _check_functions(self) -> None:
        if not self._by_kind and self._otherwise is None:
            raise invalid("worker", "it has no function: it would park every task of the queue; register one with `on` or `otherwise`")

    def _start(self, until_idle: bool) -> _native.Worker:
        running = _native.Worker(
            self._native,
            self._queue,
            owner=self._owner,
            ttl=self._ttl,
            at_once=self._at_once,
            grace=self._grace,
            margin=self._margin,
            record_timeout=self._record_timeout,
            when_idle=until_idle,
        )
        self._running = running
        return running

    def _of(self, task: Task) -> Callable[[Any], Any]:
        function = self._by_kind.get(task.kind, self._otherwise)
        if function is None:
            raise QuarantineTask(f"no worker of the queue {task.queue} does the kind {task.kind}")
        return function


class Worker(WorkerSettings):
    """Claims tasks of a queue, up to ``at_once``, and runs a function for each in a thread.

        worker = tenure.Worker(ledger, "agents", at_once=4)

        @worker.on("build")
        def build(job):
            job.lease.undo_with("close-pr", job.payload["repo"], reason="opened by this build")
            return {"pr": 12}

        worker.run()

    What the function returns is the result of the task, which is completed. An exception rolls it back; ``RetryLater``, ``FailTask`` and
    ``QuarantineTask`` end it in other ways. A function may end the task itself by ``job.lease``.

    On SIGTERM or SIGINT, or ``stop()``, it claims no more, and running functions may go on for ``grace``. After that ``job.lease.check()``,
    and each report of progress, raises ``WorkerStopping``, and the task is released. Python can't stop a thread: a function that never
    looks is awaited. Where that must not be, use processes (``run(processes=4)``) or ``tenure.aio.Worker``.
    """

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
        self._ledger = ledger
        self._at_work: set[str] = set()
        self._stopped_at: float | None = None
        self._stop_processes: Callable[[], None] | None = None

    def stop(self) -> None:
        """Tells it to stop. It returns at once; ``run`` returns when running functions have ended."""
        self._stopped_at = self._stopped_at or time.monotonic()
        if self._running is not None:
            self._running.stop()
        if self._stop_processes is not None:
            self._stop_processes()

    def run(
        self, *, until_idle: bool = False, processes: int | None = None, signals: bool = True
    ) -> WorkerReport:
        """Runs until it is told to stop; with ``until_idle``, until no task is due. ``signals=False`` leaves signals to the program.

        With ``processes`` each function runs in one of that many processes. They are started by ``spawn``, so this module is imported again
        in each, and the functions must be at its top. A process that dies is replaced, and its task is rolled back at once.
        """
        self._check_functions()
        if self._running is not None or self._stop_processes is not None:
            raise invalid("run", "this worker runs already; make another one")
        if self._stopped_at is not None:
            # It was told before it began.
            self._stopped_at = None
            return nothing_done()
        if processes is not None:
            from ._processes import run_processes

            count = at_once_of(processes, "processes")
            try:
                return run_processes(self, count, until_idle, signals)
            finally:
                self._stopped_at = None
        running = self._start(until_idle)
        threads = [
            threading.Thread(target=self._work, args=(running,), name=f"tenure-worker-{number}")
            for number in range(self._at_once)
        ]
        try:
            with stopping_by_signals(self.stop, signals, again=until_idle):
                for thread in threads:
                    thread.start()
                call(running.wait_for_stop)
                counts = call(running.wait, self._grace + _RECORDING)
                if counts is None:
                    warn_of_running(_log, self._at_work)
                    counts = call(running.wait, None)
                return WorkerReport(counts)
        finally:
            # Also after an exception, such as KeyboardInterrupt by a handler of the program's own.
            self.stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            self._running = self._stopped_at = None

    def _grace_is_over(self) -> bool:
        return self._stopped_at is not None and time.monotonic() >= self._stopped_at + self._grace

    def _work(self, running: _native.Worker) -> None:
        while (job := call(running.next)) is not None:
            self._do(job)

    def _do(self, native: _native.Job) -> None:
        lease = WorkerLease(native.lease, self._grace_is_over)
        self._at_work.add(lease.id)
        try:
            result = self._of(lease.task)(Job(native, lease))
            finish(native, lease, result)
        except BaseException as error:
            # A thread has nobody to raise it to; the task says it.
            finish_by(native, lease, error)
        finally:
            self._at_work.discard(lease.id)


def warn_of_running(log: logging.Logger, names: Iterable[str]) -> None:
    """Says which functions still run although the grace is over."""
    running = ", ".join(sorted(names))
    if running:
        log.warning("told to stop, but still running: %s. Python can't stop a function; this ends when it returns", running)


def nothing_done() -> WorkerReport:
    """The report of a worker that was told to stop before it began."""
    return WorkerReport(dict.fromkeys(COUNTS, 0))


def at_once_of(count: object, field: str = "at_once") -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise invalid(field, "a whole number from 1")
    return count


def finish(native: _native.Job, lease: Held, result: object) -> None:
    """The function returned."""
    if lease.ended:
        native.finish("ended", None, 0.0)
    else:
        native.finish("complete", None if result is None else value_text(result, "result"), 0.0)


def finish_by(native: _native.Job, lease: Held, error: BaseException) -> None:
    """The function raised."""
    if lease.ended:
        native.finish("ended", None, 0.0)
        return
    words = words_of(error)
    if isinstance(error, RetryLater):
        native.finish("release", words, error.delay)
    elif isinstance(error, FailTask):
        native.finish("fail", words, 0.0)
    elif isinstance(error, QuarantineTask):
        native.finish("quarantine", words, 0.0)
    elif isinstance(error, WorkerStopping):
        native.finish("release", words, 0.0)
    else:
        if not isinstance(error, (CancelAsked, LeaseLost)):
            _log.error("the work on %s failed", lease.id, exc_info=error)
        native.finish("rollback", reason_of(error), 0.0)


@contextmanager
def stopping_by_signals(stop: Callable[[], object], wanted: bool, *, again: bool) -> Generator[None, None, None]:
    """Calls ``stop`` on SIGTERM and SIGINT, if this is the main thread: only there Python handles signals.

    What would have ended by itself, ``again``, was interrupted: the signal comes again when it has stopped. So a loop around it ends, too.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return

    came: list[int] = []

    def told(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        stop()

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not set by Python, and can't be set back by it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came and again:
            signal.raise_signal(came[0])


