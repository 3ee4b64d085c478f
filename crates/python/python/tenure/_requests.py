"""Commands as JSON: the bodies of the HTTP API, each with its verb. The ledger and a lease send the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ._errors import invalid
from ._json import Duration, Json, OptionalJson, Unset, instant_text, length_text, text_of
from ._records import Compensation, Policy, Task

#: More than a lease or a delay can be.
_SECONDS_MAX = 1_000_000_000

#: A command, before it is JSON.
Request = dict[str, Any]


def _given(verb: str, members: Mapping[str, Any]) -> Request:
    request: Request = {"verb": verb}
    for name, value in members.items():
        if value is not None:
            request[name] = value
    return request


def _length(length: Duration | None, field: str) -> str | int | None:
    # Most are seconds, which the ledger reads as they are.
    if length is None or (type(length) is int and 0 <= length <= _SECONDS_MAX):
        return length
    return length_text(length, field)


def _value(request: Request, name: str, value: OptionalJson) -> None:
    if not isinstance(value, Unset):
        request[name] = value


def _undo(compensation: object, field: str) -> dict[str, Any] | None:
    if compensation is None:
        return None
    if not isinstance(compensation, Compensation):
        raise invalid(field, "a tenure.Compensation(kind, target)")
    fields = compensation.to_dict()
    return {name: fields[name] for name in ("kind", "target", "reason") if fields.get(name) is not None}


def _waivers(waive: Mapping[int, str] | None) -> list[dict[str, Any]] | None:
    if waive is None:
        return None
    return [{"seq": seq, "reason": reason} for seq, reason in _mapping(waive, "waive").items()]


def _receipts(receipts: Mapping[int, str] | None) -> list[dict[str, Any]] | None:
    if receipts is None:
        return None
    return [{"seq": seq, "receipt": receipt} for seq, receipt in _mapping(receipts, "receipts").items()]


def _mapping(value: object, field: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise invalid(field, f"a mapping, such as a dict, not {type(value).__name__}")
    mapping: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
    return dict(mapping)


def _keys(keys: object) -> list[str] | None:
    # A text is a list of its letters, which nobody means.
    if keys is None or isinstance(keys, str):
        return None if keys is None else [keys]
    if not isinstance(keys, Iterable):
        raise invalid("unset", "the key of a label, or a list of keys")
    given: Iterable[Any] = keys  # pyright: ignore[reportUnknownVariableType]
    return [*given]


def _list(given: object) -> list[dict[str, Any] | None]:
    if not isinstance(given, Iterable):
        raise invalid("compensations", "a list of tenure.Compensation(kind, target)")
    values: Iterable[Any] = given  # pyright: ignore[reportUnknownVariableType]
    return [_undo(one, "compensations") for one in values]


def text(request: Request, actor: str | None, request_id: str | None) -> str:
    """The text of a command, with who gives it and under which request id."""
    if actor is not None:
        request["as"] = actor
    if request_id is not None:
        request["request_id"] = request_id
    return text_of(request)


def create(
    id: str | None,
    saga_id: str | None,
    queue: str | None,
    kind: str | None,
    labels: Mapping[str, str] | None,
    payload: Json,
    priority: int | None,
    not_before: datetime | None,
    compensations: Iterable[Compensation] | None,
    policy: Policy | None,
) -> Request:
    members = {
        "id": id,
        "saga_id": saga_id,
        "queue": queue,
        "kind": kind,
        "labels": None if labels is None else _mapping(labels, "labels"),
        "payload": payload,
        "priority": priority,
        "not_before": None if not_before is None else instant_text(not_before, "not_before"),
        "policy": None if policy is None else policy.to_dict(),
        "compensations": None if compensations is None else _list(compensations),
    }
    return _given("create", members)


def put(record: Task | Mapping[str, Json], reason: str | None) -> Request:
    members = record.to_dict() if isinstance(record, Task) else _mapping(record, "record")
    request: Request = {"verb": "put", **members}
    if reason is not None:
        request["reason"] = reason
    return request


def changed(
    task: Task,
    queue: str | None,
    kind: str | None,
    labels: Mapping[str, str] | None,
    payload: OptionalJson,
    priority: int | None,
    not_before: datetime | None | Unset,
    policy: Policy | None,
) -> dict[str, Any]:
    """The record of a task with some fields changed, to put it back."""
    record = task.to_dict()
    given = {
        "queue": queue,
        "kind": kind,
        "labels": None if labels is None else _mapping(labels, "labels"),
        "priority": priority,
        "policy": None if policy is None else task.policy.with_changes(policy).to_dict(),
    }
    record.update((name, value) for name, value in given.items() if value is not None)
    _value(record, "payload", payload)
    if not isinstance(not_before, Unset):
        record["not_before"] = None if not_before is None else instant_text(not_before, "not_before")
    return record


def take(verb: str, id: str, owner: str, ttl: Duration | None) -> Request:
    return _given(verb, {"task": id, "owner": owner, "ttl": _length(ttl, "ttl")})


def claim(queue: str, owner: str, ttl: Duration | None, limit: int) -> Request:
    return _given("claim", {"queue": queue, "owner": owner, "ttl": _length(ttl, "ttl"), "limit": limit})


def heartbeat(
    id: str, owner: str, epoch: int, ttl: Duration | None, progress: OptionalJson, checkpoint: OptionalJson
) -> Request:
    request: Request = {"verb": "heartbeat", "task": id, "owner": owner, "epoch": epoch}
    if ttl is not None:
        request["ttl"] = _length(ttl, "ttl")
    _value(request, "progress", progress)
    _value(request, "checkpoint", checkpoint)
    return request


def progress(id: str, owner: str, epoch: int, progress: OptionalJson, checkpoint: OptionalJson) -> Request:
    request = _given("progress", {"task": id, "owner": owner, "epoch": epoch})
    _value(request, "progress", progress)
    _value(request, "checkpoint", checkpoint)
    return request


def release(id: str, owner: str, epoch: int, reason: str, delay: Duration | None) -> Request:
    return _given(
        "release", {"task": id, "owner": owner, "epoch": epoch, "reason": reason, "delay": _length(delay, "delay")}
    )


def register(
    id: str, kind: str, target: str, reason: str | None, owner: str | None, epoch: int | None
) -> Request:
    members = {"task": id, "owner": owner, "epoch": epoch, "kind": kind, "target": target, "reason": reason}
    return _given("register", members)


def adopt(id: str, owner: str, epoch: int) -> Request:
    return _given("adopt", {"task": id, "owner": owner, "epoch": epoch})


def settle(
    id: str,
    seq: int,
    owner: str | None,
    epoch: int | None,
    receipt: str | None,
    error: str | None,
    reason: str | None,
) -> Request:
    members = {
        "task": id,
        "seq": seq,
        "owner": owner,
        "epoch": epoch,
        "receipt": receipt,
        "error": error,
        "reason": reason,
    }
    return _given("settle", members)


def waive(id: str, seq: int, reason: str) -> Request:
    return _given("waive", {"task": id, "seq": seq, "reason": reason})


def label(
    id: str,
    set: Mapping[str, str] | None,
    unset: str | Iterable[str] | None,
    owner: str | None,
    epoch: int | None,
    reason: str | None,
) -> Request:
    members = {
        "task": id,
        "owner": owner,
        "epoch": epoch,
        "set": None if set is None else _mapping(set, "set"),
        "unset": _keys(unset),
        "reason": reason,
    }
    return _given("label", members)


def complete(
    id: str, owner: str | None, epoch: int | None, reason: str | None, result: OptionalJson
) -> Request:
    request = _given("complete", {"task": id, "owner": owner, "epoch": epoch, "reason": reason})
    _value(request, "result", result)
    return request


def fail(
    id: str, owner: str | None, epoch: int | None, reason: str, compensation: Compensation | None
) -> Request:
    members = {"task": id, "owner": owner, "epoch": epoch, "reason": reason, "compensation": _undo(compensation, "compensation")}
    return _given("fail", members)


def rollback(id: str, owner: str, epoch: int, reason: str, keep: bool) -> Request:
    members = {"task": id, "owner": owner, "epoch": epoch, "reason": reason, "keep": keep or None}
    return _given("rollback", members)


def quarantine(id: str, owner: str | None, epoch: int | None, reason: str, cause: str | None) -> Request:
    members = {"task": id, "owner": owner, "epoch": epoch, "reason": reason, "cause": cause}
    return _given("quarantine", members)


def compensate(
    id: str, reason: str, waive: Mapping[int, str] | None, receipts: Mapping[int, str] | None
) -> Request:
    members = {"task": id, "reason": reason, "waive": _waivers(waive), "receipts": _receipts(receipts)}
    return _given("compensate", members)


def cancel(id: str, reason: str) -> Request:
    return _given("cancel", {"task": id, "reason": reason})


def note(id: str, note: str | None, terminal_reason: str | None, dismiss: bool) -> Request:
    members = {"task": id, "note": note, "terminal_reason": terminal_reason, "dismiss": dismiss or None}
    return _given("notes", members)


def retry(
    id: str,
    reason: str,
    new_id: str | None,
    waive: Mapping[int, str] | None,
    receipts: Mapping[int, str] | None,
) -> Request:
    members = {
        "task": id,
        "reason": reason,
        "id": new_id,
        "waive": _waivers(waive),
        "receipts": _receipts(receipts),
    }
    return _given("retry", members)


