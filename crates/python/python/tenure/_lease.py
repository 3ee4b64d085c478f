"""A lease that is renewed in the background, whatever Python does meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal

from . import _native, _requests
from ._errors import CancelAsked, LeaseLost, Refused, TenureError, invalid
from ._json import UNSET, Duration, Json, OptionalJson, Unset, seconds_of, value_text
from ._records import Compensation, Refusal, Task
from ._waiting import call, in_background

_log = logging.getLogger("tenure.lease")

#: What an exception that leaves the ``with`` block of a lease does to its task: ``leave`` lets the lease lapse.
Leaving = Literal["rollback", "fail", "release", "quarantine", "leave"]

#: The longest reason that the ledger takes, in bytes.
_REASON_BYTES_MAX = 4096


def check_leaving(on_error: str) -> None:
    """Comes before the lease is asked for: nothing may fail when it is granted."""
    if on_error not in ("rollback", "fail", "release", "quarantine", "leave"):
        raise invalid("on_error", "one of rollback, fail, release, quarantine, leave")


class KeptLease:
    """A lease that a thread of the native module renews: it needs no interpreter lock, so no Python code can delay it.

    Use it in a ``with`` block, and end it there: ``complete``, ``fail``, ``rollback``, ``release`` or ``quarantine``. An exception that leaves
    the block rolls the task back (see ``on_error`` of ``acquire``). A block that is left without an end is logged, and the lease lapses.

    When the lease is lost, stop: somebody else may have the task. The next call raises ``LeaseLost``; ``lost`` tells it at any time; and
    ``wait_for_stop`` and ``on_stop`` tell it as it happens. When somebody asks for a cancel, ``progress``, ``checkpoint``, ``undo_with`` and
    ``check`` raise ``CancelAsked``; the lease hears of that at its next renewal, a third of its length at the latest, or by its next progress.
    """

    def __init__(self, native: _native.Lease, on_error: Leaving = "rollback") -> None:
        self._native = native
        self._on_error = on_error
        self._task = Task.from_json(native.task)
        lease = self._task.lease
        assert lease is not None
        self._owner = lease.owner
        self._epoch = lease.epoch

    @property
    def task(self) -> Task:
        """The task as it was when the lease was granted, with its payload, and the checkpoint of an earlier holder."""
        return self._task

    @property
    def id(self) -> str:
        """The task's id."""
        return self._task.id

    @property
    def payload(self) -> Any:
        """The task's payload."""
        return self._task.payload

    @property
    def owner(self) -> str:
        """Who holds it."""
        return self._owner

    @property
    def epoch(self) -> int:
        """Its number, a fencing token: give it to systems that can refuse an older one."""
        return self._epoch

    @property
    def loss(self) -> Refusal | None:
        """Why it is lost, or ``None``."""
        _, _, loss, _ = self._native.status()
        return None if loss is None else Refusal.from_json(loss)

    @property
    def lost(self) -> bool:
        """Whether it is lost."""
        return self._native.status()[0] == "lost"

    @property
    def ended(self) -> bool:
        """Whether its holder has ended it, or let it go."""
        return self._native.status()[0] == "ended"

    @property
    def cancel_asked(self) -> bool:
        """Whether somebody asked for the task to be cancelled."""
        return self._native.status()[1]

    @property
    def renewal_error(self) -> str | None:
        """Why the last renewal failed, or ``None``. The work goes on until the lease is lost."""
        return self._native.status()[3]

    def check(self) -> None:
        """Raises ``LeaseLost`` or ``CancelAsked`` if the work must stop. It only looks, and asks no store."""
        status, cancel_asked, loss, _ = self._native.status()
        if status == "lost" and loss is not None:
            raise LeaseLost(Refusal.from_json(loss))
        if cancel_asked:
            raise CancelAsked(f"somebody asked for {self.id} to be cancelled")

    def wait_for_stop(self, timeout: Duration | None = None) -> bool:
        """Waits until the work must stop: the lease is lost, or a cancel was asked for. Returns whether it must.

        It returns ``False`` after ``timeout``, and when the lease has ended.
        """
        must: bool = call(self._native.wait, None if timeout is None else seconds_of(timeout, "timeout"))
        return must

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Calls ``callback`` in a thread of its own, once, when the work must stop."""
        in_background(self._native.wait, callback, f"tenure-stop-{self.id}")

    # ---- while the work goes on --------------------------------------------------------------------------------------

    def undo_with(self, kind: str, target: str, *, reason: str) -> Task:
        """Registers how to undo an effect that the work is about to have. Do it before the effect."""
        self.check()
        return self._send(_requests.register(self.id, kind, target, reason, self._owner, self._epoch))

    def progress(self, value: OptionalJson = UNSET, /, **fields: Json) -> None:
        """Reports progress: ``lease.progress(percent=40)``, or any JSON value. It counts for the policy's ``stall_after``."""
        self.check()
        if not isinstance(value, Unset) and fields:
            raise invalid("progress", "give a value or fields, not both")
        self._call(self._native.progress, value_text(fields if isinstance(value, Unset) else value, "progress"))

    def checkpoint(self, value: Json) -> None:
        """Saves what the next holder needs to go on from here. It counts as progress."""
        self.check()
        self._call(self._native.checkpoint, value_text(value, "checkpoint"))

    def label(
        self,
        *,
        set: Mapping[str, str] | None = None,
        unset: str | Iterable[str] | None = None,
        **labels: str,
    ) -> Task:
        """Sets labels of the task: ``lease.label(branch="fix-168")``, or ``set={"undone-by": "me"}``. ``unset`` has keys to remove."""
        chosen = set if not labels else {**(set or {}), **labels}
        return self._send(_requests.label(self.id, chosen, unset, self._owner, self._epoch, None))

    def adopt(self) -> Task:
        """Takes what older leases owe over into this lease."""
        return self._send(_requests.adopt(self.id, self._owner, self._epoch))

    def settle(self, seq: int, *, receipt: str | None = None, error: str | None = None) -> Task:
        """Reports that the holder undid something itself, with its ``receipt``, or could not, with the ``error``."""
        return self._send(_requests.settle(self.id, seq, self._owner, self._epoch, receipt, error, None))

    # ---- ends -------------------------------------------------------------------------------------------------------

    def complete(self, result: OptionalJson = UNSET) -> Task:
        """Completes the task. What this lease owed is void."""
        return self._end(_requests.complete(self.id, self._owner, self._epoch, None, result))

    def fail(self, reason: str, *, compensation: Compensation | None = None) -> Task:
        """Fails the task for good, and undoes nothing. If nothing was ever registered, it records that nothing remains to undo.

        Under the policy ``on_failure="quarantine"`` it parks the task for a person instead.
        """
        if compensation is None:
            return Task.from_json(self._call(self._native.fail, reason))
        return self._end(_requests.fail(self.id, self._owner, self._epoch, reason, compensation))

    def rollback(self, reason: str) -> Task:
        """Gives the work up: recovery undoes what is owed, and the task is tried again if attempts are left."""
        return self._end(_requests.rollback(self.id, self._owner, self._epoch, reason, False))

    def release(self, reason: str, *, delay: Duration | None = None) -> Task:
        """Gives the lease back, so that somebody else can go on, not before ``delay``. The attempt does not count."""
        return self._end(_requests.release(self.id, self._owner, self._epoch, reason, delay))

    def quarantine(self, reason: str) -> Task:
        """Parks the task for a person."""
        return self._end(_requests.quarantine(self.id, self._owner, self._epoch, reason, None))

    def let_go(self) -> None:
        """Stops renewing without an end. The lease lapses, and recovery takes the task over."""
        self._native.let_go()

    # ---- how it is sent ---------------------------------------------------------------------------------------------

    def _send(self, request: _requests.Request) -> Task:
        return Task.from_json(self._call(self._native.execute, _requests.text(request, None, None), False))

    def _end(self, request: _requests.Request) -> Task:
        return Task.from_json(self._call(self._native.execute, _requests.text(request, None, None), True))

    def _call(self, operation: Callable[..., Any], *arguments: object) -> Any:
        try:
            return call(operation, *arguments)
        except LeaseLost:
            raise
        except Refused as refused:
            if self.lost:
                raise LeaseLost(refused.refusal) from refused
            raise

    def __enter__(self) -> KeptLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        status, _, loss, _ = self._native.status()
        if status == "ended":
            return
        if status == "lost":
            self.let_go()
            if error is None and loss is not None:
                raise LeaseLost(Refusal.from_json(loss))
            return
        if error is None or self._on_error == "leave":
            # The keeper logs that.
            self.let_go()
            return
        try:
            self._leave(reason_of(error))
        except TenureError as failed:
            _log.error("%s could not be ended after an exception: %s", self.id, failed)
            self.let_go()
        except BaseException:
            # Such as a second Ctrl-C: nobody may renew what nobody works on.
            self.let_go()
            raise

    def _leave(self, reason: str) -> None:
        if self._on_error == "fail":
            self.fail(reason)
        elif self._on_error == "release":
            self.release(reason)
        elif self._on_error == "quarantine":
            self.quarantine(reason)
        else:
            self.rollback(reason)

    def __repr__(self) -> str:
        return f"<KeptLease {self.id!r} owner={self._owner!r} epoch={self._epoch}>"


def reason_of(error: BaseException) -> str:
    """Why the work ended, for the record: the exception."""
    words = _words(error)
    return recordable(f"{type(error).__name__}: {words}" if words else type(error).__name__)


def words_of(error: BaseException) -> str:
    """What an exception says, for the record."""
    return recordable(_words(error) or type(error).__name__)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def recordable(words: str) -> str:
    """The text, changed as little as the ledger needs: it takes neither NUL nor half of a surrogate pair, and has a limit."""
    text = words.replace("\0", "").encode("utf-8", "replace")
    if len(text) <= _REASON_BYTES_MAX:
        return text.decode() or "-"
    return text[: _REASON_BYTES_MAX - 32].decode("utf-8", "ignore") + " [the rest was left out]"
