"""The ledger: every command and every list."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, overload

from . import _logs, _native, _requests
from ._errors import Conflict, Corrupt, NotFound, TenureError, exception_of, invalid
from ._json import UNSET, Duration, Json, OptionalJson, Unset, instant_at, instant_text, seconds_of, text_of, value_of
from ._lease import KeptLease, Leaving, check_leaving
from ._records import (
    Backoff,
    Compensation,
    Event,
    Holding,
    NamedCursor,
    NewToken,
    Overview,
    Policy,
    Refusal,
    Renewal,
    Task,
    Token,
    VerifyReport,
    Why,
    expect,
    records,
)
from ._waiting import call

if TYPE_CHECKING:
    from .testing import ManualClock

#: What a command of many is answered: its task, the tasks of a claim, a renewal, or why it was not done.
Answer = Union[Task, "list[Task]", Renewal, TenureError]

_PAGE = 100

#: How often ``set`` reads a record again that somebody else changed before it was put back.
_SET_TRIES = 5

#: How many seconds apart, at least, the place of a named cursor is stored while events come.
_STORED_APART = 1.0


def open(
    url: str | os.PathLike[str] | None = None,
    *,
    namespace: str | None = None,
    as_: str | None = None,
    token: str | None = None,
    create: bool = True,
    clock: ManualClock | None = None,
) -> Ledger:
    """Opens a store.

    ``url`` is ``sqlite:tasks.db``, ``postgres://user@host/database``, ``http://server:7117`` or ``memory:``; a ``Path`` is that of a file. What is not given comes from the
    environment, as for the command line: ``TENURE_STORE``, ``TENURE_NAMESPACE``, ``TENURE_TOKEN`` or ``TENURE_TOKEN_FILE``.

    ``as_`` is who gives the commands; by default it is the owner of the lease. With ``create=False`` a store that does not exist is an error.
    ``clock`` is for tests: see ``tenure.testing``; with one, backoffs have no jitter. A ledger may be shared by threads. Close it, or use it in a ``with`` block.
    """
    if isinstance(url, os.PathLike):
        url = f"sqlite:{os.fspath(url)}"
    url = url if url is not None else os.environ.get("TENURE_STORE")
    if not isinstance(url, str):
        raise invalid("url", "give the URL of a store, such as sqlite:tasks.db, or set TENURE_STORE")
    url = absolute(url)
    if clock is not None and not hasattr(clock, "_native"):
        raise invalid("clock", "a tenure.testing.ManualClock")
    if clock is not None and url.startswith(("http:", "https:")):
        raise invalid("clock", "a server has its own clock; give it to the ledger that the server is over")
    namespace = namespace or os.environ.get("TENURE_NAMESPACE") or "default"
    if token is None and url.startswith(("http:", "https:")):
        token = _token_of_environment()
    return opened(url, namespace, as_, token, create, clock, clock is None)


def opened(
    url: str,
    namespace: str,
    as_: str | None,
    token: str | None,
    create: bool,
    clock: ManualClock | None,
    has_jitter: bool,
) -> Ledger:
    """Opens a store, of which all is said."""
    _logs.start()
    native_clock = None if clock is None else clock._native
    native = call(_native.Ledger.open, url, namespace, token, create, native_clock, has_jitter)
    return Ledger(native, url, namespace, as_, token, clock)


def absolute(url: str) -> str:
    """The URL with an absolute path, if it is of a file: it must name the same file in another folder."""
    if not url.startswith("sqlite:"):
        return url
    path, mark, options = url.removeprefix("sqlite:").partition("?")
    path = path.removeprefix("//")
    if path == ":memory:":
        raise invalid("url", "`memory:` is a ledger in memory; `:memory:` would be a file of that name")
    # An empty path is refused where the store is opened.
    return f"sqlite:{os.path.abspath(path)}{mark}{options}" if path else url


def _token_of_environment() -> str | None:
    token = os.environ.get("TENURE_TOKEN")
    path = os.environ.get("TENURE_TOKEN_FILE")
    if token is None and path is not None:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise invalid("token", f"TENURE_TOKEN_FILE can't be read: {error}") from error
    return token


class Ledger:
    """A store, seen from one namespace. ``tenure.open`` makes one.

    Commands that take ``owner`` and ``epoch`` are by lease with them, and by operator without. Each command takes ``as_`` (who gives it) and
    ``request_id``: a repeat with the same id within 7 days gets the first answer, and is not done again.
    """

    def __init__(
        self,
        native: _native.Ledger,
        url: str,
        namespace: str,
        as_: str | None,
        token: str | None,
        clock: ManualClock | None,
    ) -> None:
        self._native = native
        self._url = url
        self._namespace = namespace
        self._as = as_
        self._token = token
        self._clock = clock

    @property
    def namespace(self) -> str:
        """The namespace: ids are unique within one."""
        return self._namespace

    def in_namespace(self, namespace: str) -> Ledger:
        """The same store in another namespace."""
        return Ledger(self._native.in_namespace(namespace), self._url, namespace, self._as, self._token, self._clock)

    def acting_as(self, as_: str) -> Ledger:
        """The same ledger with another name for who gives the commands."""
        return Ledger(self._native, self._url, self._namespace, as_, self._token, self._clock)

    def close(self) -> None:
        """Closes it: further calls are refused. Leases, waits and workers that have begun go on, and keep the store open until they end."""
        self._native.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Ledger namespace={self._namespace!r}>"

    def _text(self, request: _requests.Request, as_: str | None, request_id: str | None) -> str:
        return _requests.text(request, as_ if as_ is not None else self._as, request_id)

    def _send(self, request: _requests.Request, as_: str | None, request_id: str | None) -> Task:
        return Task.from_json(call(self._native.execute, self._text(request, as_, request_id)))

    def _renew(self, request: _requests.Request, as_: str | None) -> Renewal:
        return Renewal.from_json(call(self._native.execute, self._text(request, as_, None)))

    # ---- tasks and leases -------------------------------------------------------------------------------------------

    def create(
        self,
        id: str | None = None,
        *,
        saga_id: str | None = None,
        queue: str | None = None,
        kind: str | None = None,
        labels: Mapping[str, str] | None = None,
        payload: Json = None,
        priority: int | None = None,
        not_before: datetime | None = None,
        compensations: Iterable[Compensation] | None = None,
        policy: Policy | None = None,
        lease_ttl: Duration | None = None,
        max_attempts: int | None = None,
        on_lapse: str | None = None,
        recover_after: Duration | None = None,
        on_failure: str | None = None,
        when_spent: str | None = None,
        backoff: Backoff | None = None,
        stall_after: Duration | None = None,
        time_limit: Duration | None = None,
        start_within: Duration | None = None,
        lock_delay: Duration | None = None,
        cancel_grace: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Creates a task. Without an ``id`` one is made. A known id or saga id is refused ``exists``.

        ``compensations`` are what every attempt will owe. From ``lease_ttl`` on, the arguments are fields of its policy; they go over those
        of ``policy``.
        """
        given = Policy(
            lease_ttl=lease_ttl,
            max_attempts=max_attempts,
            on_lapse=on_lapse,
            recover_after=recover_after,
            on_failure=on_failure,
            when_spent=when_spent,
            backoff=backoff,
            stall_after=stall_after,
            time_limit=time_limit,
            start_within=start_within,
            lock_delay=lock_delay,
            cancel_grace=cancel_grace,
        )
        whole = given if policy is None else expect(policy, Policy, "policy").with_changes(given)
        request = _requests.create(
            id, saga_id, queue, kind, labels, payload, priority, not_before, compensations, whole
        )
        return self._send(request, as_, request_id)

    def put(
        self,
        record: Task | Mapping[str, Json],
        *,
        reason: str | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Writes a whole record, decided as a difference to the stored one. For imports and corrections.

        ``record`` is a task, or its fields as in ``Task.to_dict()``; ``revision`` is the one that was read, and without it the task must not
        exist. It can't change leases, epochs and ended tasks.

        A new record may move in while somebody works on it elsewhere: ``running`` with ``lease={"owner": …, "expires_at": …}``, or ``dispatched``
        with ``reservation={…}``, and with a ``reason``. Its holder gets the first epoch; what a running one carries is owed under it.
        """
        return self._send(_requests.put(record, reason), as_, request_id)

    def set(
        self,
        id: str,
        *,
        queue: str | None = None,
        kind: str | None = None,
        labels: Mapping[str, str] | None = None,
        payload: OptionalJson = UNSET,
        priority: int | None = None,
        not_before: datetime | None | Unset = UNSET,
        policy: Policy | None = None,
        revision: int | None = None,
        as_: str | None = None,
    ) -> Task:
        """Changes fields of a task that nobody holds; what is not given stays.

        ``labels`` are all that it has afterwards; for single ones, also while it is held, see ``label``. ``not_before=None`` removes that time. Of
        the ``policy`` only the given fields change. The record is read, changed and put back, again if somebody else changed it meanwhile. With
        a ``revision`` only that one is changed; another is refused ``stale_write``.
        """
        tries = 0
        while True:
            tries += 1
            task = self.get(id)
            record = _requests.changed(task, queue, kind, labels, payload, priority, not_before, policy)
            if revision is not None:
                record["revision"] = revision
            try:
                return self._send(_requests.put(record, None), as_, None)
            except Conflict as conflict:
                if conflict.code != "stale_write" or revision is not None or tries == _SET_TRIES:
                    raise

    def label(
        self,
        id: str,
        *,
        set: Mapping[str, str] | None = None,
        unset: str | Iterable[str] | None = None,
        owner: str | None = None,
        epoch: int | None = None,
        reason: str | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Sets and removes labels of a task that has not ended, also while it is held. ``reason`` is for operators, who need not give one."""
        return self._send(_requests.label(id, set, unset, owner, epoch, reason), as_, request_id)

    def get(self, id: str) -> Task:
        """The task with that id. Raises ``NotFound`` if there is none."""
        task = self.find(id)
        if task is None:
            message = f"there is no task {id} in the namespace {self._namespace}"
            raise NotFound(Refusal._of({"code": "not_found", "message": message}))
        return task

    def find(self, id: str) -> Task | None:
        """The task with that id, or ``None``."""
        text: str | None = call(self._native.task, id)
        return None if text is None else Task.from_json(text)

    def dispatch(
        self, id: str, *, owner: str, ttl: Duration | None = None, as_: str | None = None, request_id: str | None = None
    ) -> Task:
        """Reserves a task for an owner."""
        return self._send(_requests.take("dispatch", id, owner, ttl), as_, request_id)

    @overload
    def acquire(
        self,
        id: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        keep: Literal[True] = True,
        on_error: Leaving = "rollback",
        margin: Duration | None = None,
        record_timeout: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> KeptLease: ...
    @overload
    def acquire(
        self,
        id: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        keep: Literal[False],
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task: ...
    def acquire(
        self,
        id: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        keep: bool = True,
        on_error: Leaving = "rollback",
        margin: Duration | None = None,
        record_timeout: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> KeptLease | Task:
        """Takes a lease on a task. If several try, one wins; the others are refused ``leased``, and told who holds it.

        The lease is renewed in the background until it is ended, lost or left: see ``KeptLease``. Use it in a ``with`` block; ``on_error`` says
        what an exception that leaves the block does to the task. ``margin`` is how long before its end a lease that could not be renewed is
        given up; ``record_timeout`` how long its end is tried while the store can't be reached. With ``keep=False`` nobody renews it: you get
        the task, and send ``heartbeat`` and ends yourself, with ``owner`` and ``task.epoch``.
        """
        request = _requests.take("acquire", id, owner, ttl)
        if not keep:
            return self._send(request, as_, request_id)
        return self._kept(request, on_error, margin, record_timeout, as_, request_id)

    def reclaim(
        self, id: str, *, owner: str, ttl: Duration | None = None, as_: str | None = None, request_id: str | None = None
    ) -> Task:
        """Takes a stale task over, to undo what it owes. ``tenure.Recovery`` does that for all of them."""
        return self._send(_requests.take("reclaim", id, owner, ttl), as_, request_id)

    def _kept(
        self,
        request: _requests.Request,
        on_error: Leaving,
        margin: Duration | None,
        record_timeout: Duration | None,
        as_: str | None,
        request_id: str | None,
    ) -> KeptLease:
        check_leaving(on_error)
        text = self._text(request, as_, request_id)
        (native,) = call(self._native.acquire, text, *_keeping(margin, record_timeout))
        return KeptLease(native, on_error)

    @overload
    def claim(
        self,
        queue: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        limit: int = 1,
        wait: Duration = 0,
        keep: Literal[True] = True,
        on_error: Leaving = "rollback",
        margin: Duration | None = None,
        record_timeout: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> builtins.list[KeptLease]: ...
    @overload
    def claim(
        self,
        queue: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        limit: int = 1,
        wait: Duration = 0,
        keep: Literal[False],
        as_: str | None = None,
        request_id: str | None = None,
    ) -> builtins.list[Task]: ...
    def claim(
        self,
        queue: str,
        *,
        owner: str,
        ttl: Duration | None = None,
        limit: int = 1,
        wait: Duration = 0,
        keep: bool = True,
        on_error: Leaving = "rollback",
        margin: Duration | None = None,
        record_timeout: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> builtins.list[KeptLease] | builtins.list[Task]:
        """Takes leases on the next due tasks of a queue, at most ``limit``. There may be none.

        ``wait`` is how long it waits for work if there is none. For the rest see ``acquire``.
        """
        text = self._text(_requests.claim(queue, owner, ttl, limit), as_, request_id)
        seconds = seconds_of(wait, "wait")
        if not keep:
            return records(Task, call(self._native.claim_tasks, text, seconds))
        check_leaving(on_error)
        leases = call(self._native.claim, text, seconds, *_keeping(margin, record_timeout))
        return [KeptLease(native, on_error) for native in leases]

    def heartbeat(
        self,
        id: str,
        *,
        owner: str,
        epoch: int,
        ttl: Duration | None = None,
        progress: OptionalJson = UNSET,
        checkpoint: OptionalJson = UNSET,
        as_: str | None = None,
    ) -> Renewal:
        """Renews a lease, and tells whether somebody asked for a cancel."""
        return self._renew(_requests.heartbeat(id, owner, epoch, ttl, progress, checkpoint), as_)

    def progress(
        self,
        id: str,
        *,
        owner: str,
        epoch: int,
        progress: OptionalJson = UNSET,
        checkpoint: OptionalJson = UNSET,
        as_: str | None = None,
    ) -> Renewal:
        """Saves progress, or a checkpoint for the next holder, without renewing the lease."""
        return self._renew(_requests.progress(id, owner, epoch, progress, checkpoint), as_)

    def release(
        self,
        id: str,
        *,
        owner: str,
        epoch: int,
        reason: str,
        delay: Duration | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Gives a lease back. The attempt does not count, and what is owed is undone first."""
        return self._send(_requests.release(id, owner, epoch, reason, delay), as_, request_id)

    # ---- undo -------------------------------------------------------------------------------------------------------

    def register(
        self,
        id: str,
        kind: str,
        target: str,
        *,
        reason: str | None = None,
        owner: str | None = None,
        epoch: int | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Registers how to undo an effect, before it is made. Without ``owner`` and ``epoch``, and before a lease: for every attempt."""
        return self._send(_requests.register(id, kind, target, reason, owner, epoch), as_, request_id)

    def adopt(
        self, id: str, *, owner: str, epoch: int, as_: str | None = None, request_id: str | None = None
    ) -> Task:
        """Takes what older leases owe over into this lease."""
        return self._send(_requests.adopt(id, owner, epoch), as_, request_id)

    def settle(
        self,
        id: str,
        seq: int,
        *,
        owner: str | None = None,
        epoch: int | None = None,
        receipt: str | None = None,
        error: str | None = None,
        reason: str | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Reports that an undo ran, with its ``receipt``, or failed, with the ``error``.

        Without ``owner`` and ``epoch`` a person undid it by hand: ``receipt`` says what shows that, and ``reason`` why, if that is more. It is refused
        ``leased`` while recovery undoes the task.
        """
        return self._send(_requests.settle(id, seq, owner, epoch, receipt, error, reason), as_, request_id)

    def waive(
        self, id: str, seq: int, *, reason: str, as_: str | None = None, request_id: str | None = None
    ) -> Task:
        """Waives a compensation: it need not be undone."""
        return self._send(_requests.waive(id, seq, reason), as_, request_id)

    # ---- ends -------------------------------------------------------------------------------------------------------

    def complete(
        self,
        id: str,
        *,
        owner: str | None = None,
        epoch: int | None = None,
        result: OptionalJson = UNSET,
        reason: str | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Completes a task. What the lease owed is void. By operator it needs a ``reason``."""
        return self._send(_requests.complete(id, owner, epoch, reason, result), as_, request_id)

    def fail(
        self,
        id: str,
        *,
        reason: str,
        owner: str | None = None,
        epoch: int | None = None,
        compensation: Compensation | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Fails a task for good, and undoes nothing.

        If it never registered a compensation, say what remains to undo; ``Compensation("none", "-")`` says that nothing does.
        """
        return self._send(_requests.fail(id, owner, epoch, reason, compensation), as_, request_id)

    def rollback(
        self,
        id: str,
        *,
        owner: str,
        epoch: int,
        reason: str,
        keep: bool = False,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Gives the work up: recovery undoes what is owed, and the task is tried again if attempts are left.

        With ``keep`` the holder undoes it itself, under the lease that it has.
        """
        return self._send(_requests.rollback(id, owner, epoch, reason, keep), as_, request_id)

    def quarantine(
        self,
        id: str,
        *,
        reason: str,
        owner: str | None = None,
        epoch: int | None = None,
        cause: str | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Parks a task for a person."""
        return self._send(_requests.quarantine(id, owner, epoch, reason, cause), as_, request_id)

    def compensate(
        self,
        id: str,
        *,
        reason: str,
        waive: Mapping[int, str] | None = None,
        receipts: Mapping[int, str] | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Closes a task as undone, by an operator.

        ``waive`` has the reason for each number that need not be undone; ``receipts`` what shows it for each that was undone by hand;
        with one it is refused ``leased`` while recovery undoes the task.
        """
        return self._send(_requests.compensate(id, reason, waive, receipts), as_, request_id)

    def cancel(
        self, id: str, *, reason: str, as_: str | None = None, request_id: str | None = None
    ) -> Task:
        """Cancels a task. If it is running, its holder is asked to stop."""
        return self._send(_requests.cancel(id, reason), as_, request_id)

    def note(
        self,
        id: str,
        note: str | None = None,
        *,
        terminal_reason: str | None = None,
        dismiss: bool = False,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Adds a note, also to an ended task; ``terminal_reason`` corrects the reason for its end.

        ``dismiss`` says that its bad end needs no more attention, with the note as the reason.
        """
        return self._send(_requests.note(id, note, terminal_reason, dismiss), as_, request_id)

    def retry(
        self,
        id: str,
        *,
        reason: str,
        new_id: str | None = None,
        waive: Mapping[int, str] | None = None,
        receipts: Mapping[int, str] | None = None,
        as_: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Makes a new task of one that ended badly, and returns it. The old one only names it.

        What is still owed is undone first, except for the numbers in ``waive`` and ``receipts``: see ``compensate``.
        """
        return self._send(_requests.retry(id, reason, new_id, waive, receipts), as_, request_id)

    def transact(self, commands: Iterable[Mapping[str, Json]]) -> builtins.list[Answer]:
        """Sends many commands together: one commit for all of them, unless they are large. Each is decided for itself, in order.

        A command is the body of its route in the HTTP API, with its ``verb``, and the ``task`` where it is about one: ``{"verb": "complete",
        "task": "build-42", "owner": "w1", "epoch": 1}``. What was refused is an exception in the list; it is not raised.
        """
        texts = [text_of({"as": self._as, **one} if self._as is not None else one) for one in commands]
        return [_answer(text) for text in call(self._native.transact, texts)]

    # ---- lists and reports ------------------------------------------------------------------------------------------

    def list(
        self,
        *,
        state: str | Iterable[str] | None = None,
        cause: str | None = None,
        queue: str | None = None,
        owner: str | None = None,
        id_prefix: str | None = None,
        last_owner: str | None = None,
        saga_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        stale: bool = False,
        open: bool = False,
        ended_badly: bool = False,
        unattended: bool = False,
        since: datetime | Duration | None = None,
        order: Literal["newest", "oldest"] = "newest",
    ) -> Iterator[Task]:
        """The tasks that match, one by one; pages are read as they are needed.

        ``id_prefix``: only those whose id begins with it. ``last_owner``: only those whose newest ended attempt was this owner's. ``open``, or ``state="open"``: only those that have not ended. ``ended_badly``: only those that did not succeed. ``unattended``: only ended ones that nobody
        retried or dismissed. ``since`` is an instant, or how long ago: only tasks that ended, or, with ``open``, changed since then.
        """
        if since is not None and not isinstance(since, datetime):
            since = self.now() - timedelta(seconds=seconds_of(since, "since"))
        states = [] if state is None else [state] if isinstance(state, str) else [*state]
        wanted: dict[str, Any] = {
            "states": states,
            "cause": cause,
            "queue": queue,
            "owner": owner,
            "id_prefix": id_prefix,
            "last_owner": last_owner,
            "saga_id": saga_id,
            "labels": [*(labels or {}).items()],
            "stale": stale,
            "open": open,
            "ended_badly": ended_badly,
            "unattended": unattended,
            "since": None if since is None else instant_text(since, "since"),
            "order": order,
        }
        cursor: str | None = None
        while True:
            page = value_of(call(self._native.tasks, wanted, cursor, _PAGE))
            for fields in page["tasks"]:
                yield Task._of(fields)
            cursor = page["next"]
            if cursor is None:
                return

    def stale(self) -> Iterator[Task]:
        """The tasks whose lease or reservation has lapsed."""
        for task in self.list(stale=True):
            yield task

    def in_flight(self) -> Iterator[Task]:
        """The tasks that somebody holds or that are being undone."""
        for task in self.list(state=("dispatched", "running", "compensating")):
            yield task

    def events(
        self,
        task: str | None = None,
        *,
        after: str | None = None,
        follow: bool = False,
        cursor_name: str | None = None,
    ) -> Iterator[Event]:
        """The history after ``after``, the oldest first: of one task, or of the namespace.

        With ``follow`` it never ends, and waits for new events. An event that can't be read raises ``Corrupt``, after those that were read
        with it; to go on behind it, begin again with ``after=error.cursor``.

        With ``cursor_name`` the place is kept in the store, and the next loop with that name goes on there; the first begins before the
        first event. An event counts as handled when the next one is asked for. What was handled is stored once a second, when no more
        events are there, and when the loop ends; so after an error the last events may come again, and none is left out. Nothing is
        pruned that a named cursor has not passed: see ``forget_cursor``. Behind an event that can't be read it goes on after
        ``move_cursor(cursor_name, error.cursor)``.
        """
        if cursor_name is None:
            for event in self._events(task, after, follow):
                if event is not None:
                    yield event
            return
        if task is not None or after is not None:
            raise invalid("cursor_name", "it has a place of its own in the whole history; give no task and no after with it")
        place = self._move_cursor(cursor_name, None)
        stored = handled = place.cursor
        stored_at = time.monotonic()
        try:
            for event in self._events(None, stored, follow):
                if event is not None:
                    yield event
                    handled = event.cursor
                if handled != stored and (event is None or time.monotonic() - stored_at >= _STORED_APART):
                    self._move_cursor(cursor_name, handled)
                    stored, stored_at = handled, time.monotonic()
        except GeneratorExit:
            if handled != stored:
                self._move_cursor(cursor_name, handled)
            raise

    def _events(self, task: str | None, after: str | None, follow: bool) -> Iterator[Event | None]:
        """The history, and ``None`` whenever all that is there was given."""
        while True:
            page = value_of(call(self._native.events, task, after, _PAGE))
            for fields in page["events"]:
                yield Event._of(fields)
            if page.get("unreadable"):
                yield None
                raise Corrupt(page["unreadable"][0], cursor=page["next"])
            after = page["next"]
            if len(page["events"]) < _PAGE and not page.get("more", False):
                yield None
                if not follow:
                    return
                call(self._native.wait_for_events, after, None)

    def cursors(self) -> tuple[NamedCursor, ...]:
        """The named cursors of the namespace, each with how far behind it is."""
        return tuple(NamedCursor._of(fields) for fields in value_of(call(self._native.cursors))["cursors"])

    def move_cursor(self, name: str, to: str) -> NamedCursor:
        """Moves a named cursor to the event with the cursor ``to``, and makes it if there is none. It never moves back: that is a
        ``Conflict`` with the code ``stale_write``.
        """
        return self._move_cursor(name, to)

    def _move_cursor(self, name: str, to: str | None) -> NamedCursor:
        return NamedCursor._of(value_of(call(self._native.move_cursor, name, to, self._as))["cursor"])

    def forget_cursor(self, name: str) -> NamedCursor:
        """Deletes a named cursor, so that it holds back no pruning, and returns where it was."""
        return NamedCursor._of(value_of(call(self._native.forget_cursor, name))["cursor"])

    def newest(self) -> str:
        """The newest cursor of the history: ``events(after=…)`` with it gives only what comes later."""
        cursor: str = call(self._native.newest)
        return cursor

    def wait(self, id: str, *, timeout: Duration | None = None) -> Task:
        """Waits until a task has ended, and returns it. After ``timeout`` it returns the task as it is: see ``is_ended``."""
        until = None if timeout is None else time.monotonic() + seconds_of(timeout, "timeout")
        while True:
            newest = self.newest()
            task = self.get(id)
            left = None if until is None else until - time.monotonic()
            if task.is_ended or (left is not None and left <= 0):
                return task
            call(self._native.wait_for_events, newest, left)

    def why(self, id: str) -> Why:
        """Why a task is where it is, what happens next, and what people noted on it."""
        return Why.from_json(call(self._native.why, id))

    def overview(self) -> Overview:
        """The overview of the namespace: what needs attention, and how tasks ended."""
        return Overview.from_json(call(self._native.overview))

    def owners(self) -> tuple[Holding, ...]:
        """Who holds what."""
        return tuple(Holding._of(fields) for fields in value_of(call(self._native.owners))["owners"])

    def namespaces(self) -> tuple[str, ...]:
        """The namespaces of the store that have a task."""
        return tuple(value_of(call(self._native.namespaces))["namespaces"])

    def now(self) -> datetime:
        """The store's time, by which every decision is made."""
        return instant_at(call(self._native.now))

    def verify(self, task: str | None = None, *, anchor: str | None = None) -> VerifyReport:
        """Verifies the history of a task, or of the namespace. With an ``anchor`` that was kept elsewhere it also finds what was cut off."""
        return VerifyReport.from_json(call(self._native.verify, task, anchor))

    def anchor(self) -> str:
        """An anchor of the namespace's history, as text. Keep it elsewhere."""
        anchor: str = call(self._native.anchor)
        return anchor

    # ---- tokens of servers ------------------------------------------------------------------------------------------

    def create_token(
        self,
        name: str,
        *,
        role: Literal["reader", "worker", "operator", "admin"],
        namespaces: Iterable[str] | None = None,
        expires: Duration | None = None,
        as_: str | None = None,
    ) -> NewToken:
        """Creates a token for servers on this store. Its secret is in the answer, and shown only there.

        It is bound to this ledger's namespace, unless ``namespaces`` says others, or ``["*"]`` for all. It is valid for ``expires``, or until it
        is revoked.
        """
        named = None if namespaces is None else [*namespaces]
        seconds = None if expires is None else seconds_of(expires, "expires")
        by = as_ if as_ is not None else self._as
        return NewToken.from_json(call(self._native.create_token, name, role, named, seconds, by))

    def tokens(self) -> tuple[Token, ...]:
        """All tokens of the store, in the order of their creation, also those that are not valid any more."""
        return tuple(records(Token, call(self._native.tokens)))

    def revoke_token(self, name: str, *, as_: str | None = None) -> Token:
        """Revokes the token of that name, from now on."""
        by = as_ if as_ is not None else self._as
        return Token.from_json(call(self._native.revoke_token, name, by))


def _keeping(margin: Duration | None, record_timeout: Duration | None) -> tuple[float | None, float | None]:
    return (
        None if margin is None else seconds_of(margin, "margin"),
        None if record_timeout is None else seconds_of(record_timeout, "record_timeout"),
    )


def _answer(text: str) -> Answer:
    fields = value_of(text)
    if "task" in fields:
        return Task._of(fields["task"])
    if "tasks" in fields:
        return [Task._of(one) for one in fields["tasks"]]
    if "renewal" in fields:
        return Renewal._of(fields["renewal"])
    return exception_of(text)
