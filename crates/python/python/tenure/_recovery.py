"""Recovery: undoes what stale tasks left behind, or parks them for a person."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from . import _native
from ._errors import invalid
from ._json import Duration, seconds_of, value_of
from ._ledger import Ledger
from ._lease import reason_of, recordable, words_of
from ._records import PlannedTask, RecoveredTask, RecoveryReport, UndoCall
from ._waiting import call
from ._worker import at_once_of, check_function, check_kind, stopping_by_signals, warn_of_running

_log = logging.getLogger("tenure.recovery")

Handler = TypeVar("Handler", bound=Callable[..., Any])


def receipt_of(returned: object) -> str:
    """What a handler returned, as a receipt. Anything but a text is a mistake, and no proof."""
    if returned is None:
        return "done"
    if not isinstance(returned, str):
        raise TypeError(f"a handler returns a receipt, which is a text, or None; this one returned {type(returned).__name__}")
    return recordable(returned)


def nothing_handled() -> RecoveryReport:
    """The report of recovery that was told to stop before it began."""
    return RecoveryReport.from_json('{"tended":0,"undone":0,"outcomes":{}}')


class GiveUp(Exception):
    """Raised by a handler: another try will not succeed. The task is parked for a person."""


class Handlers:
    """The handlers and settings of recovery, whether they block or are coroutines."""

    _are_coroutines = False

    def __init__(
        self,
        ledger: _native.Ledger,
        *,
        owner: str | None,
        namespace: str | None,
        ttl: Duration,
        at_once: int,
        handler_wait: Duration,
        grace: Duration,
        tries_now: int | None,
        on_recovered: Callable[[RecoveredTask], object] | None,
    ) -> None:
        self._ledger = ledger
        self._owner = owner
        self._namespace = namespace
        self._ttl = seconds_of(ttl, "ttl")
        self._at_once = at_once_of(at_once)
        self._handler_wait = seconds_of(handler_wait, "handler_wait")
        self._grace = seconds_of(grace, "grace")
        self._tries_now = None if tries_now is None else at_once_of(tries_now, "tries_now")
        self._on_recovered = on_recovered
        self._handlers: dict[str, tuple[Callable[[UndoCall], Any], int, float]] = {}
        self._running: _native.Recovery | None = None
        self._is_stopped = False

    def on(self, kind: str, *, tries: int = 5, timeout: Duration = 60) -> Callable[[Handler], Handler]:
        """A decorator: the function undoes effects of that kind, and returns a receipt.

        One that takes longer than ``timeout`` counts as failed. After ``tries`` failures the task is parked for a person.
        """
        check_kind(kind, "@recovery.on('remove-worktree')")
        seconds, most = seconds_of(timeout, "timeout"), at_once_of(tries, "tries")

        def register(function: Handler) -> Handler:
            check_function(function, self._are_coroutines, "Recovery")
            if kind in self._handlers:
                raise invalid("kind", f"there is a handler for {kind} already")
            self._handlers[kind] = (function, most, seconds)
            return function

        return register

    def stop(self) -> None:
        """Tells it to stop. It returns at once; ``watch`` returns when running undos have ended, or after the grace."""
        self._is_stopped = True
        if self._running is not None:
            self._running.stop()

    def _prepared(self) -> _native.Recovery:
        return _native.Recovery(
            self._ledger,
            [(kind, tries, timeout) for kind, (_, tries, timeout) in self._handlers.items()],
            owner=self._owner,
            namespace=self._namespace,
            ttl=self._ttl,
            at_once=self._at_once,
            handler_wait=self._handler_wait,
            grace=self._grace,
            tries_now=self._tries_now,
        )

    def _begin(self, watch: bool) -> _native.Recovery | None:
        """Starts it, unless it was told to stop before."""
        if self._running is not None:
            raise invalid("recovery", "it runs already; make another one")
        if self._is_stopped:
            self._is_stopped = False
            return None
        running = self._running = self._prepared()
        running.start(watch)
        return running

    def _tell(self, task: RecoveredTask) -> None:
        if self._on_recovered is None:
            return
        try:
            self._on_recovered(task)
        except Exception:
            _log.exception("on_recovered failed for %s", task.task)


class Recovery(Handlers):
    """Undoes what stale tasks owe, the newest effect first. Any number of processes may run it on one store.

        recovery = tenure.Recovery(ledger)

        @recovery.on("remove-worktree")
        def remove_worktree(undo):
            shutil.rmtree(undo.target, ignore_errors=True)   # what is gone already is success
            return f"{undo.target} is gone"                   # the receipt

        recovery.watch()

    A handler may be called twice for the same effect, because an earlier recovery may have died before it stored the receipt: running twice
    must be harmless. An exception is a failed try; ``GiveUp`` says that more tries are no use. Give it handlers of every kind that tasks
    use: a task with an undo of another kind is parked for a person, by ``once`` right away, and by ``watch`` if nobody else has handled it
    within ``handler_wait``.

    Python can't stop a function. One that goes on after its ``timeout`` counts as failed, and a few seconds later the lease on its task is
    given up: then another recovery may begin the same undo beside it. So give what a handler waits for a timeout of its own.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        owner: str | None = None,
        namespace: str | None = None,
        ttl: Duration = 30,
        at_once: int = 8,
        handler_wait: Duration = 600,
        grace: Duration = 10,
        tries_now: int | None = None,
        on_recovered: Callable[[RecoveredTask], object] | None = None,
    ) -> None:
        """``namespace``: only its tasks; by default those of all namespaces. ``on_recovered`` is called for each handled task.

        ``tries_now``: how often ``once`` tries an undo that fails before it hands the task back for the next sweep, which goes on counting;
        by default as often as its handler allows. ``watch`` hands back after each failed try, whatever this says.
        """
        super().__init__(
            ledger._native,
            owner=owner,
            namespace=namespace,
            ttl=ttl,
            at_once=at_once,
            handler_wait=handler_wait,
            grace=grace,
            tries_now=tries_now,
            on_recovered=on_recovered,
        )
        self._at_work: set[str] = set()

    def plan(self) -> tuple[PlannedTask, ...]:
        """What ``once`` would do now, without doing it."""
        return tuple(PlannedTask._of(fields) for fields in value_of(call(self._prepared().plan)))

    def once(self) -> RecoveryReport:
        """Handles everything that is due now, and returns when that is done. SIGTERM and SIGINT stop it, and come again then."""
        return self._run(watch=False, signals=True)

    def watch(self, *, signals: bool = True) -> RecoveryReport:
        """Handles tasks as they become due, until ``stop()``, SIGTERM or SIGINT; ``signals=False`` leaves these to the program."""
        return self._run(watch=True, signals=signals)

    def _run(self, watch: bool, signals: bool) -> RecoveryReport:
        running = self._begin(watch)
        if running is None:
            return nothing_handled()
        threads = [
            threading.Thread(target=self._work, args=(running,), name=f"tenure-undo-{number}")
            for number in range(self._at_once)
        ]
        try:
            with stopping_by_signals(running.stop, signals, again=not watch):
                for thread in threads:
                    thread.start()
                return RecoveryReport.from_json(call(running.wait))
        finally:
            running.stop()
            warn_of_running(_log, self._at_work)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            self._running, self._is_stopped = None, False

    def _work(self, running: _native.Recovery) -> None:
        while (told := call(running.next)) is not None:
            if isinstance(told, str):
                self._tell(RecoveredTask.from_json(told))
            else:
                self._undo(told)

    def _undo(self, undo: _native.Undo) -> None:
        what = UndoCall.from_json(undo.call)
        handler, _, _ = self._handlers[what.kind]
        name = f"{what.kind} of {what.task}"
        self._at_work.add(name)
        try:
            receipt = handler(what)
            undo.succeed(receipt_of(receipt))
        except GiveUp as error:
            undo.fail(words_of(error), True)
        except BaseException as error:
            # A thread has nobody to raise it to; the task says it.
            undo.fail(reason_of(error), False)
        finally:
            self._at_work.discard(name)
