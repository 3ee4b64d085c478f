"""A worker whose functions run in processes of their own: one that hangs can be killed, and one that dies takes nothing with it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import Refused, TenureError, invalid
from ._ledger import Ledger, open
from ._records import Task
from ._worker import COUNTS, WorkerReport, stopping_by_signals

if TYPE_CHECKING:
    from ._worker import Worker

_log = logging.getLogger("tenure.worker")

#: The pause before a process that died is replaced: one that dies at once must not be replaced at once, again and again.
_REST = 1.0


class _Child:
    """A process with a worker for one task at a time, under an owner of its own."""

    def __init__(self, number: int, spec: _Spec) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.owner = f"{spec.owner or _native.owner_of_this_process()}/{number}.{time.monotonic_ns() // 1_000_000}"
        self.reading, writing = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(
            target=_work, args=(spec, self.owner, writing), name=f"tenure-worker-{number}"
        )
        try:
            self.process.start()
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise invalid("function", f"must be at the top of a module, so that a process finds it: {error}") from error
        finally:
            writing.close()

    def said(self) -> tuple[bool, dict[str, int] | Refused | None]:
        """Whether it began, and what it said at its end: what it did, or why it was refused. Nothing if it died."""
        has_begun, end = False, None
        try:
            while self.reading.poll():
                said: dict[str, int] | Refused | None = self.reading.recv()
                has_begun, end = True, said
        except EOFError:
            pass
        self.reading.close()
        return has_begun, end

    def signal(self, number: int) -> None:
        pid = self.process.pid
        if pid is not None and self.process.is_alive():
            os.kill(pid, number)


class _Spec:
    """What a process must know to make its worker."""

    def __init__(self, worker: Worker, until_idle: bool) -> None:
        ledger = worker._ledger
        if ledger._url.startswith("memory:") or ledger._clock is not None:
            raise invalid("processes", "they can't reach a ledger in the memory of this process; use a file")
        self.place = (ledger._url, ledger._namespace, ledger._as, ledger._token)
        self.queue = worker._queue
        self.owner = worker._owner
        self.options = {
            "ttl": worker._ttl,
            "grace": worker._grace,
            "margin": worker._margin,
            "record_timeout": worker._record_timeout,
        }
        self.by_kind = worker._by_kind
        self.otherwise = worker._otherwise
        self.until_idle = until_idle


def run_processes(worker: Worker, count: int, until_idle: bool, signals: bool) -> WorkerReport:
    """Runs a worker in that many processes until it is told to stop, or no task is due."""
    fleet = _Fleet(_Spec(worker, until_idle), worker._ledger, worker._grace)
    worker._stop_processes = fleet.stop
    try:
        with stopping_by_signals(fleet.stop, signals, again=until_idle):
            fleet.start(count)
            return fleet.run()
    finally:
        # Also after an exception: no process is left behind.
        worker._stop_processes = None
        fleet.kill()


class _Fleet:
    """The processes of a worker."""

    def __init__(self, spec: _Spec, ledger: Ledger, grace: float) -> None:
        self._spec = spec
        self._ledger = ledger
        self._grace = grace
        self._children: list[_Child] = []
        self._total: dict[str, int] = {name: 0 for name in COUNTS}
        self._stopped_at: float | None = None
        self._refused: Refused | None = None

    def stop(self) -> None:
        self._stopped_at = self._stopped_at or time.monotonic()

    def start(self, count: int) -> None:
        for number in range(count):
            self._children.append(_Child(number, self._spec))

    def run(self) -> WorkerReport:
        is_told = is_killed = False
        while self._children:
            for child in self._ended():
                self._children.remove(child)
                if self._end_of(child, is_killed) and self._stopped_at is None:
                    time.sleep(_REST)
                    self._children.append(_Child(child.number, self._spec))
            if self._stopped_at is None:
                continue
            if not is_told:
                is_told = True
                self._signal(signal.SIGTERM)
            # A function that never looks whether it must stop ends with its process.
            if not is_killed and time.monotonic() >= self._stopped_at + self._grace + 1:
                is_killed = True
                self._signal(signal.SIGKILL)
        if self._refused is not None:
            raise self._refused
        return WorkerReport(self._total)

    def kill(self) -> None:
        """Ends what is left, and what it held."""
        self._signal(signal.SIGKILL)
        for child in self._children:
            self._end_of(child, was_killed=True)

    def _ended(self) -> list[_Child]:
        """The processes that have ended; it waits a moment for one."""
        ready = wait([child.process.sentinel for child in self._children], timeout=0.1)
        return [child for child in self._children if child.process.sentinel in ready]

    def _signal(self, number: int) -> None:
        for child in self._children:
            child.signal(number)

    def _end_of(self, child: _Child, was_killed: bool) -> bool:
        """Counts what a process did. If it died, ends what it held. Returns whether it died."""
        child.process.join()
        has_begun, said = child.said()
        if not has_begun and not was_killed and self._stopped_at is None:
            # Every other one would end like that, too.
            self._refused = invalid(
                "processes",
                f"one ended with the status {child.process.exitcode} before it began; what starts the worker must be under "
                "`if __name__ == '__main__':`, because each process imports the module",
            )
            self.stop()
            return False
        if isinstance(said, Refused):
            # Every other process would be refused, too.
            self._refused = said
            self.stop()
            return False
        if said is not None:
            for name, number in said.items():
                self._total[name] += number
            return False
        status = child.process.exitcode
        if not was_killed:
            _log.error("a process of the worker died: status %s", status)
        reason = f"its process ended with the status {status}"
        for task in _held_by(self._ledger, child.owner):
            self._total["claimed"] += 1
            self._total["released" if was_killed else "rolled_back"] += _end(self._ledger, task, was_killed, reason)
        return True


def _held_by(ledger: Ledger, owner: str) -> list[Task]:
    try:
        return [*ledger.list(owner=owner, open=True)]
    except TenureError as error:
        _log.warning("what %s held is left to recovery: %s", owner, error)
        return []


def _end(ledger: Ledger, task: Task, was_killed: bool, reason: str) -> int:
    if task.lease is None:
        return 0
    lease = task.lease
    try:
        if was_killed:
            reason = "the worker was told to stop"
            ledger.release(task.id, owner=lease.owner, epoch=lease.epoch, reason=reason)
        else:
            ledger.rollback(task.id, owner=lease.owner, epoch=lease.epoch, reason=reason)
    except TenureError as error:
        _log.warning("%s is left to recovery: %s", task.id, error)
        return 0
    return 1


def _work(spec: _Spec, owner: str, writing: Connection) -> None:
    """The process: a worker for one task at a time."""
    from ._worker import Worker

    url, namespace, as_, token = spec.place
    with open(url, namespace=namespace, as_=as_, token=token, create=False) as ledger:
        options: dict[str, Any] = spec.options
        worker = Worker(ledger, spec.queue, owner=owner, at_once=1, **options)
        functions: dict[str, Callable[[Any], Any]] = spec.by_kind
        worker._by_kind, worker._otherwise = functions, spec.otherwise
        # It has begun.
        writing.send(None)
        try:
            report = worker.run(until_idle=spec.until_idle)
        except Refused as refused:
            writing.send(refused)
        else:
            writing.send({name: getattr(report, name) for name in COUNTS})
