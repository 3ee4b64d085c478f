"""What the ledger answers: frozen records. Each is the public JSON, of which an attribute is read when it is asked for."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, NoReturn, TypeVar, overload

from ._errors import invalid
from ._json import Duration, duration_of, instant_of, length_text

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Attribute(Generic[T]):
    """An attribute of a record: a member of its JSON, read in one way."""

    def __init__(self, name: str, read: Callable[[Any], T], doc: str) -> None:
        self._name = name
        self._read = read
        self.__doc__ = doc

    @overload
    def __get__(self, record: None, owner: type) -> Attribute[T]: ...
    @overload
    def __get__(self, record: Record, owner: type) -> T: ...
    def __get__(self, record: Record | None, owner: type) -> Attribute[T] | T:
        if record is None:
            return self
        return self._read(record._fields.get(self._name))

    def __set__(self, record: Record, value: NoReturn) -> NoReturn:
        raise AttributeError(f"a {type(record).__name__} is frozen: {self._name} can't be changed")


def _as_is(value: Any) -> Any:
    return value


def _text(name: str, doc: str) -> Attribute[str]:
    return Attribute[str](name, _as_is, doc)


def _maybe_text(name: str, doc: str) -> Attribute[str | None]:
    return Attribute[str | None](name, _as_is, doc)


def _number(name: str, doc: str) -> Attribute[int]:
    return Attribute[int](name, _as_is, doc)


def _maybe_number(name: str, doc: str) -> Attribute[int | None]:
    return Attribute[int | None](name, _as_is, doc)


def _flag(name: str, doc: str) -> Attribute[bool]:
    return Attribute[bool](name, bool, doc)


def _json(name: str, doc: str) -> Attribute[Any]:
    # A copy: the record is frozen, so what is changed must not be its own.
    return Attribute[Any](name, copy.deepcopy, doc)


def _instant(name: str, doc: str) -> Attribute[datetime]:
    return Attribute[datetime](name, instant_of, doc)


def _maybe(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else read(value)


def _maybe_instant(name: str, doc: str) -> Attribute[datetime | None]:
    return Attribute[datetime | None](name, _maybe(instant_of), doc)


def _length(name: str, doc: str) -> Attribute[timedelta]:
    return Attribute[timedelta](name, duration_of, doc)


def _maybe_length(name: str, doc: str) -> Attribute[timedelta | None]:
    return Attribute[timedelta | None](name, _maybe(duration_of), doc)


def _part(name: str, record: type[R], doc: str) -> Attribute[R]:
    return Attribute[R](name, record._of, doc)


def _maybe_part(name: str, record: type[R], doc: str) -> Attribute[R | None]:
    return Attribute[R | None](name, _maybe(record._of), doc)


def _parts(name: str, record: type[R], doc: str) -> Attribute[tuple[R, ...]]:
    return Attribute[tuple[R, ...]](name, lambda values: tuple(map(record._of, values or ())), doc)


def _texts(name: str, doc: str) -> Attribute[tuple[str, ...]]:
    return Attribute[tuple[str, ...]](name, lambda values: tuple(values or ()), doc)


class Record:
    """A frozen record. Two are equal if all they say is equal. They can be pickled, copied and used as keys."""

    __slots__ = ("_json", "_read")
    _json: str | None
    _read: dict[str, Any] | None

    #: The attributes that ``repr`` shows.
    _shown: tuple[str, ...] = ()

    @classmethod
    def from_json(cls: type[R], text: str) -> R:
        """The record that a JSON text describes, as ``to_json`` and the HTTP API write it."""
        record = object.__new__(cls)
        object.__setattr__(record, "_json", text)
        object.__setattr__(record, "_read", None)
        return record

    @classmethod
    def _of(cls: type[R], fields: dict[str, Any]) -> R:
        record = object.__new__(cls)
        object.__setattr__(record, "_json", None)
        object.__setattr__(record, "_read", fields)
        return record

    @property
    def _fields(self) -> dict[str, Any]:
        fields = self._read
        if fields is None:
            assert self._json is not None
            fields = json.loads(self._json)
            object.__setattr__(self, "_read", fields)
        assert fields is not None
        return fields

    def to_json(self) -> str:
        """The record as a JSON text."""
        return self._json if self._json is not None else json.dumps(self._fields, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values of JSON. It is a copy: changing it does not change the record."""
        copy: dict[str, Any] = json.loads(self.to_json())
        return copy

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} can't be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} can't be removed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Record)
        return self._fields == other._fields

    def __hash__(self) -> int:
        # Of its texts alone: 1, 1.0 and True are equal, and their hash must be, too.
        texts = (value for _, value in sorted(self._fields.items()) if isinstance(value, str))
        return hash((type(self), *texts))

    def __reduce__(self) -> tuple[Callable[[str], Record], tuple[str]]:
        return type(self).from_json, (self.to_json(),)

    def __repr__(self) -> str:
        given = ((name, getattr(self, name)) for name in self._shown)
        shown = ", ".join(f"{name}={value!r}" for name, value in given if value is not None and value != ())
        return f"{type(self).__name__}({shown})"


class HeldBy(Record):
    """Who holds a task."""

    __slots__ = ()
    _shown = ("owner", "epoch", "until")

    owner = _text("owner", "The owner, or the one it is reserved for.")
    epoch = _maybe_number("epoch", "The epoch of the lease; ``None`` for a reservation.")
    since = _instant("since", "Since when.")
    until = _instant("until", "When the lease ends, unless it is renewed.")


class Refusal(Record):
    """Why a command was refused."""

    __slots__ = ()
    _shown = ("code", "message", "field")

    code = _text("code", "Why, as a word that never changes.")
    message = _text("message", "Why, and what to do, in a sentence.")
    field = _maybe_text("field", "The argument that is wrong, for ``invalid``.")
    state = _maybe_text("state", "The state of the task.")
    held_by = _maybe_part("held_by", HeldBy, "Who holds the task.")
    retry_at = _maybe_instant("retry_at", "The earliest time at which the same command can succeed.")


class Backoff(Record):
    """The wait before the next attempt: ``base``, times ``factor`` for each attempt after the first, up to ``cap``."""

    __slots__ = ()
    _shown = ("base", "factor", "cap")

    base = _length("base", "The wait after the first attempt.")
    factor = _number("factor", "By how much each further wait is longer.")
    cap = _length("cap", "The longest wait.")

    def __new__(cls, *, base: Duration = 1, factor: int = 2, cap: Duration = 300) -> Backoff:
        return cls._of(
            {"base": length_text(base, "backoff.base"), "factor": factor, "cap": length_text(cap, "backoff.cap")}
        )


class Policy(Record):
    """What the creator of a task decides beforehand. What is left out is as by default."""

    __slots__ = ()
    _shown = (
        "lease_ttl",
        "max_attempts",
        "on_lapse",
        "recover_after",
        "on_failure",
        "when_spent",
        "backoff",
        "stall_after",
        "time_limit",
        "start_within",
        "lock_delay",
        "cancel_grace",
    )

    lease_ttl = _maybe_length("lease_ttl", "How long a lease lasts: 1 s to 7 days. Default: 60 s.")
    max_attempts = _maybe_number("max_attempts", "The most automatic attempts. Default: 1.")
    on_lapse = _maybe_text("on_lapse", "When a lease lapses: ``recover`` (the default), ``hold``, ``quarantine`` or ``either``.")
    recover_after = _maybe_length(
        "recover_after", "How long after a lapse recovery leaves the task to other owners; only with ``either``."
    )
    on_failure = _maybe_text(
        "on_failure", "When its holder fails the task: ``fail`` (the default), or ``quarantine``, which parks it for a person."
    )
    when_spent = _maybe_text(
        "when_spent", "How the task ends when its attempts are spent: ``compensated`` (the default) or ``quarantined``."
    )
    backoff = _maybe_part("backoff", Backoff, "The wait between attempts.")
    stall_after = _maybe_length("stall_after", "How long a lease may be renewed without progress.")
    time_limit = _maybe_length("time_limit", "How long an attempt may take.")
    start_within = _maybe_length("start_within", "How long the task may wait for its first attempt.")
    lock_delay = _maybe_length("lock_delay", "How long after a lapse nobody can take the task over.")
    cancel_grace = _maybe_length("cancel_grace", "How long a lease can be renewed after its holder was told to stop.")

    def __new__(
        cls,
        *,
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
    ) -> Policy:
        lengths = {
            "lease_ttl": lease_ttl,
            "recover_after": recover_after,
            "stall_after": stall_after,
            "time_limit": time_limit,
            "start_within": start_within,
            "lock_delay": lock_delay,
            "cancel_grace": cancel_grace,
        }
        given: dict[str, Any] = {
            name: length_text(length, f"policy.{name}") for name, length in lengths.items() if length is not None
        }
        others = {
            "max_attempts": max_attempts,
            "on_lapse": on_lapse,
            "on_failure": on_failure,
            "when_spent": when_spent,
        }
        given.update((name, value) for name, value in others.items() if value is not None)
        if backoff is not None:
            given["backoff"] = expect(backoff, Backoff, "policy.backoff").to_dict()
        return cls._of(given)

    def with_changes(self, other: Policy) -> Policy:
        """This policy, and over it what the other one says."""
        return Policy._of({**self._fields, **expect(other, Policy, "policy")._fields})


def expect(record: object, kind: type[R], field: str) -> R:
    """The record, if it is one of that kind."""
    if not isinstance(record, kind):
        raise invalid(field, f"a tenure.{kind.__name__}(…)")
    return record


class Compensation(Record):
    """How to undo one effect: a handler of that ``kind`` undoes it for ``target``.

    Give ``Compensation("remove-worktree", "/tmp/wt", reason="…")`` to ``create``; the ledger answers them with their number, status and
    receipt.
    """

    __slots__ = ()
    _shown = ("seq", "kind", "target", "reason", "status", "receipt")

    seq = _maybe_number("seq", "Its number within the task; ``None`` until the ledger has it.")
    kind = _text("kind", "Which handler undoes it.")
    target = _text("target", "What is undone: a path, a number or a name.")
    reason = _maybe_text("reason", "Why it was registered.")
    status = _maybe_text("status", "``standing``, ``owed``, ``done``, ``waived`` or ``void``.")
    epoch = _maybe_number("epoch", "The lease that owes it.")
    tries = Attribute[int]("tries", lambda value: value or 0, "How often an undo failed.")
    receipt = _maybe_text("receipt", "The proof that it was undone.")
    settled_by = _maybe_text("settled_by", "Who undid it by hand; ``None`` if a holder of a lease did, or nobody yet.")
    last_error = _maybe_text("last_error", "Why the last try failed.")
    waiver = _maybe_text("waiver", "Why it need not be undone.")
    key = _maybe_text("key", "The idempotency key of its undo.")

    def __new__(cls, kind: str, target: str, *, reason: str | None = None) -> Compensation:
        fields: dict[str, Any] = {"kind": kind, "target": target}
        if reason is not None:
            fields["reason"] = reason
        return cls._of(fields)


class Lease(Record):
    """An owner's right to a task, until it expires."""

    __slots__ = ()
    _shown = ("owner", "epoch", "expires_at")

    owner = _text("owner", "The owner.")
    epoch = _number("epoch", "Its number: it fences off everybody who held the task before.")
    granted_to = _text("granted_to", "The actor to whom it was granted; with tokens, the token's name.")
    ttl = _length("ttl", "The length of a renewal that gives none.")
    acquired_at = _instant("acquired_at", "Since when it is held.")
    heartbeat_at = _instant("heartbeat_at", "When it was last renewed.")
    progressed_at = _instant("progressed_at", "When its holder last reported progress; the grant counts as such.")
    expires_at = _instant("expires_at", "When it ends, unless it is renewed.")
    progress = _json("progress", "The last progress; ``None`` if there was none.")


class LastLease(Record):
    """The lease of an attempt that has ended. Those of recovery are no attempts."""

    __slots__ = ()
    _shown = ("owner", "epoch", "until")

    owner = _text("owner", "Who held it.")
    epoch = _number("epoch", "Its number.")
    since = _instant("since", "When the attempt began.")
    until = _instant("until", "When it ended: by its holder, or when it lapsed.")


class Reservation(Record):
    """A task that is reserved for an owner."""

    __slots__ = ()
    _shown = ("owner", "expires_at")

    owner = _text("owner", "The owner.")
    reserved_at = _instant("reserved_at", "Since when.")
    expires_at = _instant("expires_at", "Until when.")


class Cancel(Record):
    """The request to stop a task."""

    __slots__ = ()
    _shown = ("by", "at", "reason")

    at = _instant("at", "When it was asked for.")
    by = _text("by", "By whom.")
    reason = _text("reason", "Why.")


class Dismissal(Record):
    """A person's decision that a bad end needs no more attention."""

    __slots__ = ()
    _shown = ("by", "at", "note")

    at = _instant("at", "When.")
    by = _text("by", "By whom.")
    note = _text("note", "Why.")


class Unwinding(Record):
    """Why a task is being undone."""

    __slots__ = ()
    _shown = ("why", "reason")

    why = _text("why", "As a word, such as ``lapsed`` or ``rolled_back``.")
    reason = _text("reason", "In a sentence.")
    due_at = _maybe_instant("due_at", "When recovery may go on with it.")


def _mapping(value: Any) -> Any:
    return MappingProxyType(value)


class Task(Record):
    """A task: the durable record of one piece of work."""

    __slots__ = ()
    _shown = ("id", "state", "cause", "queue", "lease")

    id = _text("id", "Its name, unique in its namespace.")
    saga_id = _text("saga_id", "A second unique name, for its saga.")
    namespace = _text("namespace", "Its namespace.")
    queue = _text("queue", "Where workers claim it from.")
    kind = _text("kind", "The kind of task.")
    state = _text(
        "state",
        "``planned``, ``dispatched``, ``running``, ``compensating``, ``completed``, ``failed``, ``compensated`` or ``quarantined``.",
    )
    cause = _maybe_text("cause", "Why it ended, as a word; ``None`` before that.")
    priority = _number("priority", "Of the due tasks, those with a higher one go first.")
    not_before = _maybe_instant("not_before", "Not to be taken earlier.")
    labels = Attribute[Mapping[str, str]]("labels", _mapping, "Labels to find it by.")
    payload = _json("payload", "What it is about.")
    policy = _part("policy", Policy, "What its creator decided beforehand.")
    attempts = _number("attempts", "How many attempts were begun and not released.")
    epoch = _number("epoch", "The epoch of its newest lease.")
    revision = _number("revision", "Counts the changes of this record. Heartbeats and progress do not change it.")
    owed = _number("owed", "How many compensations must still be undone.")
    lease = _maybe_part("lease", Lease, "Who holds it.")
    reservation = _maybe_part("reservation", Reservation, "Whom it is reserved for.")
    last_lease = _maybe_part("last_lease", LastLease, "Who held it last: the newest attempt that has ended.")
    unwinding = _maybe_part("unwinding", Unwinding, "Why it is being undone.")
    checkpoint = _json("checkpoint", "What a holder saved for the next one; ``None`` if nothing.")
    compensations = _parts("compensations", Compensation, "How to undo what was done, in the order of registration.")
    cancel = _maybe_part("cancel", Cancel, "The request to stop it.")
    terminal_reason = _maybe_text("terminal_reason", "Why it ended, in words.")
    result = _json("result", "What the work gave.")
    retried_as = _maybe_text("retried_as", "The task that retries this one.")
    retry_of = _maybe_text("retry_of", "The task that this one retries.")
    dismissed = _maybe_part("dismissed", Dismissal, "Its dismissal by a person.")
    stale = _flag("stale", "Whether its lease or reservation had lapsed when this was read.")
    created_at = _instant("created_at", "When it was created.")
    updated_at = _instant("updated_at", "When its record last changed.")
    started_at = _maybe_instant("started_at", "When the newest attempt began.")
    finished_at = _maybe_instant("finished_at", "When it ended.")

    @property
    def is_ended(self) -> bool:
        """Whether it is in a terminal state, which nothing changes any more."""
        return self.finished_at is not None


class Renewal(Record):
    """The answer to a heartbeat or a progress."""

    __slots__ = ()
    _shown = ("expires_at", "cancel")

    at = _instant("at", "When it was renewed, by the store's clock. The rest of the lease counts from here.")
    expires_at = _instant("expires_at", "When the lease ends now.")
    cancel = _flag("cancel", "Whether somebody asked for the task to be cancelled.")


class Event(Record):
    """An event of the history."""

    __slots__ = ()
    _shown = ("task", "number", "type", "actor", "at")

    cursor = _text("cursor", "Where it stands: later events come after it.")
    namespace = _text("namespace", "The namespace.")
    task = _maybe_text("task", "The task that it happened to; none if it happened in the namespace.")
    number = _number("number", "Its number within the task or the namespace, from 1.")
    at = _instant("at", "When it happened.")
    type = _text("type", "What happened, as a word.")
    actor = _text("actor", "Who did it.")
    data = _json("data", "What happened.")
    hash = _text("hash", "The hash that chains it to the event before it: SHA-256 in hexadecimal digits.")


class NamedCursor(Record):
    """The stored place of a follower in the history of a namespace."""

    __slots__ = ()
    _shown = ("name", "cursor", "behind", "lag")

    namespace = _text("namespace", "The namespace that it follows.")
    name = _text("name", "Its name.")
    cursor = _text("cursor", "The cursor of the last event that its follower has handled.")
    moved_at = _instant("moved_at", "When it was moved last.")
    moved_by = _text("moved_by", "Who moved it last.")
    behind = _number("behind", "How many events of the namespace come after it, among the next 10,000 of the store.")
    more = _flag("more", "Whether there are more events than were looked at.")
    lag = _maybe_length("lag", "How long ago the first of these events happened; ``None`` if none was seen.")


class Note(Record):
    """A note on a task."""

    __slots__ = ()
    _shown = ("at", "by", "note")

    at = _instant("at", "When.")
    by = _text("by", "By whom.")
    note = _text("note", "What.")
    dismisses = _flag("dismisses", "Whether it dismisses the task.")


class NextStep(Record):
    """What happens next to a task."""

    __slots__ = ()
    _shown = ("what", "at")

    what = _text("what", "``due``, ``lapse`` or ``reclaim``.")
    at = _instant("at", "When; what is past is possible now.")


class Why(Record):
    """Why a task is where it is."""

    __slots__ = ()
    _shown = ("why", "next")

    task = _part("task", Task, "The task.")
    why = _text("why", "In one sentence.")
    next = _maybe_part("next", NextStep, "What happens next by itself, or becomes possible.")
    notes = _parts("notes", Note, "The notes on it, the oldest first.")

    def __str__(self) -> str:
        return self.why


class Oldest(Record):
    """The task that has been in a state for the longest time."""

    __slots__ = ()
    _shown = ("task", "since")

    task = _text("task", "The task.")
    since = _instant("since", "Since when.")


class StateCount(Record):
    """The tasks in one state."""

    __slots__ = ()
    _shown = ("state", "count", "stale", "oldest")

    state = _text("state", "The state.")
    count = _number("count", "How many.")
    later = _number("later", "How many of them are not due yet.")
    stale = _number("stale", "How many of them are stale.")
    oldest = _maybe_part("oldest", Oldest, "The one that has been in it for the longest time.")


class EndCount(Record):
    """How often tasks of a queue ended with one state and cause."""

    __slots__ = ()
    _shown = ("queue", "state", "cause", "last_hour", "last_day", "all")

    queue = _text("queue", "The queue.")
    state = _text("state", "The state.")
    cause = _text("cause", "The cause.")
    last_hour = _number("last_hour", "In the last hour.")
    last_day = _number("last_day", "In the last day.")
    all = _number("all", "Since the store was created.")


class QueueCount(Record):
    """How many tasks of a queue have not ended."""

    __slots__ = ()
    _shown = ("queue", "planned", "later", "in_flight", "due_since")

    queue = _text("queue", "The queue.")
    planned = _number("planned", "How many are planned.")
    later = _number("later", "How many of them are not due yet.")
    in_flight = _number("in_flight", "How many are dispatched, running, or being undone.")
    due_since = _maybe_instant(
        "due_since", "Since when the longest waiting planned task is due; it lies ahead if none is due."
    )


class MinuteCount(Record):
    """How many tasks ended in a minute."""

    __slots__ = ()
    _shown = ("at", "completed", "cancelled", "ended_badly")

    at = _instant("at", "The beginning of the minute.")
    completed = _number("completed", "How many were completed.")
    cancelled = _number("cancelled", "How many were cancelled.")
    ended_badly = _number("ended_badly", "How many did not succeed.")


class Overview(Record):
    """The overview of a namespace. ``to_dict`` has all of it."""

    __slots__ = ()
    _shown = ("at", "states")

    at = _instant("at", "The store's time of the overview.")
    states = _parts("states", StateCount, "One item for each state that may need attention.")
    ends = _parts("ends", EndCount, "How tasks ended, by queue, state and cause.")
    queues = _parts("queues", QueueCount, "The queues that have tasks which have not ended.")
    minutes = _parts("minutes", MinuteCount, "How many tasks ended in each minute of the last hour, the oldest first.")
    warnings = _texts("warnings", "Settings of the database that break a promise.")


class Holding(Record):
    """An owner, and what it holds."""

    __slots__ = ()
    _shown = ("owner", "leases", "reservations", "stale")

    owner = _text("owner", "The owner.")
    leases = _number("leases", "How many leases.")
    reservations = _number("reservations", "How many reservations.")
    stale = _number("stale", "How many of both have lapsed.")
    since = _instant("since", "Since when it has held the oldest of them.")
    until = _instant("until", "When the first of them ends.")


class Token(Record):
    """A token of a server, without its secret."""

    __slots__ = ()
    _shown = ("name", "role", "namespaces", "expires_at", "revoked_at")

    name = _text("name", "Its name: the actor of the commands that are given with it.")
    role = _text("role", "``reader``, ``worker``, ``operator`` or ``admin``.")
    namespaces = _texts("namespaces", "The namespaces that it is bound to; ``*`` alone for all.")
    created_at = _instant("created_at", "When it was created.")
    created_by = _text("created_by", "By whom.")
    expires_at = _maybe_instant("expires_at", "When it expires; ``None``: it is valid until it is revoked.")
    revoked_at = _maybe_instant("revoked_at", "When it was revoked.")
    revoked_by = _maybe_text("revoked_by", "By whom.")


class NewToken(Token):
    """A token that was just created. Its secret is shown only here, and by no ``repr``."""

    __slots__ = ()

    token = _text("token", "The secret: give it to ``tenure.open``, or send it as ``Authorization: Bearer …``.")


class Finding(Record):
    """Something wrong in a history."""

    __slots__ = ()
    _shown = ("message",)

    task = _text("task", "The task.")
    number = _maybe_number("number", "The number of the event.")
    message = _text("message", "What is wrong.")


class VerifyReport(Record):
    """The result of a verification. It is true if nothing is wrong."""

    __slots__ = ()
    _shown = ("holds", "tasks", "events", "findings")

    holds = _flag("holds", "Whether nothing is wrong.")
    tasks = _number("tasks", "How many tasks were looked at.")
    events = _number("events", "How many events.")
    findings = _parts("findings", Finding, "What is wrong.")

    def __bool__(self) -> bool:
        return self.holds


class UndoReceipt(Record):
    """An undo that ran."""

    __slots__ = ()
    _shown = ("seq", "kind", "target", "receipt")

    seq = _number("seq", "The number of the compensation.")
    kind = _text("kind", "Its kind.")
    target = _text("target", "What was undone.")
    receipt = _text("receipt", "The proof of it.")


class RecoveredTask(Record):
    """A task that recovery handled."""

    __slots__ = ()
    _shown = ("task", "outcome", "undone", "reason")

    namespace = _text("namespace", "Its namespace.")
    task = _text("task", "The task.")
    outcome = _text("outcome", "``planned``, ``compensated``, ``quarantined``, ``handed_back``, ``lost`` or ``failed``.")
    undone = _parts("undone", UndoReceipt, "The undos that ran, in order.")
    reason = _maybe_text("because", "Why it was parked or left.")


class PlannedUndo(Record):
    """A compensation that recovery would undo."""

    __slots__ = ()
    _shown = ("seq", "kind", "target")

    seq = _number("seq", "The number of the compensation.")
    kind = _text("kind", "Its kind.")
    target = _text("target", "What would be undone.")
    tries = _number("tries", "How many tries have failed.")


class PlannedTask(Record):
    """A stale task, and what recovery would do with it."""

    __slots__ = ()
    _shown = ("task", "state", "becomes", "reason")

    namespace = _text("namespace", "Its namespace.")
    task = _text("task", "The task.")
    state = _text("state", "Its state.")
    due_at = _instant("due_at", "When recovery may take it.")
    becomes = _text("becomes", "Its state after that.")
    undo = _parts("undo", PlannedUndo, "What would be undone, in order.")
    reason = _maybe_text("because", "Why it would be parked.")
    why = _text("why", "The plan in one sentence.")


class RecoveryReport(Record):
    """What a run of recovery came to."""

    __slots__ = ()
    _shown = ("tasks", "undone", "outcomes")

    tasks = _number("tended", "How many tasks were handled.")
    undone = _number("undone", "How many undos have their receipt.")
    outcomes = Attribute[Mapping[str, int]]("outcomes", _mapping, "How many tasks came to what.")
    unrecorded = Attribute[Mapping[str, str]](
        "unrecorded",
        lambda value: _mapping(value or {}),
        "Namespaces whose histories have no event of it, each with the reason. The work itself is done.",
    )


class UndoCall(Record):
    """One effect to undo, as a handler gets it. A test of a handler makes one of the kind and the target."""

    __slots__ = ()
    _shown = ("kind", "target", "task", "seq")

    def __new__(
        cls,
        kind: str,
        target: str,
        *,
        task: str = "task",
        seq: int = 1,
        namespace: str = "default",
        key: str = "key",
        reason: str | None = None,
        epoch: int = 1,
        tries: int = 0,
        saga_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        payload: Any = None,
    ) -> UndoCall:
        return cls._of(
            {
                "kind": kind,
                "target": target,
                "task": task,
                "seq": seq,
                "namespace": namespace,
                "key": key,
                "reason": reason,
                "epoch": epoch,
                "tries": tries,
                "saga_id": task if saga_id is None else saga_id,
                "labels": dict(labels or {}),
                "payload": payload,
            }
        )

    key = _text("key", "The idempotency key: the same for each try of this undo, in any process.")
    namespace = _text("namespace", "The namespace of the task.")
    task = _text("task", "The task whose effect it is.")
    saga_id = _text("saga_id", "The saga id of the task.")
    labels = Attribute[Mapping[str, str]]("labels", lambda value: _mapping(value or {}), "The labels of the task.")
    payload = _json("payload", "What the task is about.")
    seq = _number("seq", "The number of the compensation within the task.")
    kind = _text("kind", "The kind of undo.")
    target = _text("target", "What to undo.")
    reason = _maybe_text("reason", "Why it was registered.")
    epoch = _number("epoch", "The epoch under which it is undone: a fencing token for systems that can check one.")
    tries = _number("tries", "How many tries have failed.")


def records(record: type[R], texts: Iterable[str]) -> list[R]:
    """The records of some texts."""
    return [record.from_json(text) for text in texts]
