"""Recovery for asyncio: undo handlers are coroutines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .. import _native
from .._json import Duration, value_of
from .._lease import reason_of, words_of
from .._records import PlannedTask, RecoveredTask, RecoveryReport, UndoCall
from .._recovery import GiveUp, Handlers, nothing_handled, receipt_of
from ._ledger import Ledger
from ._waiting import call
from ._worker import stopping_by_signals

_log = logging.getLogger("tenure.recovery")


class Recovery(Handlers):
    """Undoes what stale tasks owe, as ``tenure.Recovery`` does; its handlers are coroutines.

    A handler that takes longer than its timeout is cancelled, and counts as failed.
    """

    _are_coroutines = True

    def __init__(
        self,
        ledger: Ledger,
        *,
        owner: str | None = None,
        namespace: str | None = None,
        ttl: Duration = 30,
        at_once: int = 32,
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

    async def plan(self) -> tuple[PlannedTask, ...]:
        """What ``once`` would do now, without doing it."""
        return tuple(PlannedTask._of(fields) for fields in value_of(await call(self._prepared().plan)))

    async def once(self) -> RecoveryReport:
        """Handles everything that is due now, and returns when that is done. SIGTERM and SIGINT stop it, and come again then."""
        return await self._run(watch=False, signals=True)

    async def watch(self, *, signals: bool = True) -> RecoveryReport:
        """Handles tasks as they become due, until ``stop()``, SIGTERM or SIGINT; ``signals=False`` leaves these to the program."""
        return await self._run(watch=True, signals=signals)

    async def _run(self, watch: bool, signals: bool) -> RecoveryReport:
        running = self._begin(watch)
        if running is None:
            return nothing_handled()
        working: set[asyncio.Task[None]] = set()
        try:
            with stopping_by_signals(running.stop, signals, again=not watch):
                while (told := await call(running.next)) is not None:
                    if isinstance(told, str):
                        self._tell(RecoveredTask.from_json(told))
                        continue
                    task = asyncio.get_running_loop().create_task(self._undo(told), name="tenure-undo")
                    working.add(task)
                    task.add_done_callback(working.discard)
                return RecoveryReport.from_json(await call(running.wait))
        finally:
            running.stop()
            for task in [*working]:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            self._running, self._is_stopped = None, False

    async def _undo(self, undo: _native.Undo) -> None:
        what = UndoCall.from_json(undo.call)
        handler, _, timeout = self._handlers[what.kind]
        try:
            receipt = await asyncio.wait_for(handler(what), timeout)
            undo.succeed(receipt_of(receipt))
        except GiveUp as error:
            undo.fail(words_of(error), True)
        except asyncio.CancelledError:
            undo.fail("it was stopped", False)
            raise
        except BaseException as error:
            # Nobody awaits it; the task says it.
            undo.fail(reason_of(error), False)
