"""Plays the stories of the conformance suite by the methods of the Python package. `crates/testkit/stories/README.md` has the grammar."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import tenure
from tenure.testing import ManualClock

FOLDER = Path(__file__).parents[2] / "testkit" / "stories"
COMPENSATIONS_MAX = 1_000

#: Expectations of all the words that follow.
SEVERAL_WORDS = ("reason", "labels", "last-lease")


@dataclass(frozen=True)
class Step:
    line: int
    words: tuple[str, ...]
    expectations: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Story:
    file: str
    title: str
    steps: tuple[Step, ...]

    @property
    def names_own_leases(self) -> bool:
        """Whether a step is limited to the leases of its actor: a token's rule, which no call of the package has."""
        return any("own" in step.words for step in self.steps)


def stories() -> list[Story]:
    return [story for path in sorted(FOLDER.glob("*.story")) for story in _read(path)]


def _read(path: Path) -> list[Story]:
    found: list[tuple[str, list[Step]]] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if line.startswith("# "):
            found.append((line[2:], []))
        elif line and not line.startswith("--"):
            found[-1][1].extend(_step(number, text) for text in line.split("; "))
    return [Story(path.name, title, tuple(steps)) for title, steps in found]


def _step(line: int, text: str) -> Step:
    command, _, expected = text.partition("→")
    expectations = (tuple(one.split()) for one in expected.split(", "))
    return Step(line, tuple(command.split()), tuple(one for one in expectations if one))


class Words:
    """The words of a step: the plain ones in order, and those with a name."""

    def __init__(self, words: tuple[str, ...]) -> None:
        named = re.compile(r"[a-z-]+=")
        self.plain = [word for word in words if not named.match(word)]
        self._named: list[tuple[str, str]] = []
        for word in words:
            if named.match(word):
                name, _, value = word.partition("=")
                self._named.append((name, value))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._named if key == name]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def receipt(self, otherwise: str) -> str:
        """A receipt, which may be empty."""
        receipt = self.get("receipt")
        return otherwise if receipt is None else receipt

    def number(self, name: str) -> int | None:
        value = self.get(name)
        return None if value is None else int(value)

    def length(self, name: str) -> timedelta | None:
        value = self.get(name)
        return None if value is None else length(value)

    def json(self, name: str) -> Any:
        value = self.get(name)
        return tenure.UNSET if value is None else json.loads(value)

    def numbers(self, name: str) -> list[int]:
        return [int(seq) for seq in (self.get(name) or "").split(",") if seq]

    def pairs(self, name: str) -> dict[str, str]:
        return dict(pair.split(":", 1) for pair in self.all(name))


def length(text: str) -> timedelta:
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * {
        "ms": timedelta(milliseconds=1),
        "s": timedelta(seconds=1),
        "m": timedelta(minutes=1),
        "h": timedelta(hours=1),
        "d": timedelta(days=1),
    }[unit]


def undo(text: str) -> tenure.Compensation:
    kind, _, target = text.partition(":")
    return tenure.Compensation(kind, target)


class World:
    """A namespace of a store, in which one story is played."""

    def __init__(self, ledger: tenure.Ledger, clock: ManualClock) -> None:
        self._ledger = ledger
        self._clock = clock

    def play(self, story: Story) -> None:
        # Many commands at one instant push the store's time ahead of it, by a microsecond each.
        self._clock.advance(1)
        for step in story.steps:
            try:
                self._play(step)
            except Exception as error:
                raise AssertionError(f"{story.file}:{step.line}: {story.title}: {' '.join(step.words)}: {error}") from error
        report = self._ledger.verify()
        assert report, report.findings

    def _play(self, step: Step) -> None:
        words = Words(step.words)
        command = words.plain[0]
        if command == "tick":
            self._clock.advance(length(words.plain[1]))
        elif command == "show":
            self._show(words.plain[1], step.expectations)
        elif command == "stale":
            names = sorted(task.id for task in self._ledger.stale())
            self._same_names(step, names)
        elif command == "lapsed":
            # What recovery is told of is a matter between it and the store; the package shows what it would do.
            pass
        elif command == "fill":
            self._fill(words.plain[1])
        else:
            self._command(step, words)

    def _same_names(self, step: Step, names: list[str]) -> None:
        for expected in step.expectations:
            assert sorted(expected[1:]) == (names or ["none"]), names

    def _fill(self, id: str) -> None:
        has = len(self._ledger.get(id).compensations)
        commands = [
            {"verb": "register", "task": id, "kind": "fill", "target": str(number), "as": "operator"}
            for number in range(has, COMPENSATIONS_MAX)
        ]
        for answer in self._ledger.transact(commands):
            if isinstance(answer, Exception):
                raise answer

    def _show(self, id: str, expectations: tuple[tuple[str, ...], ...]) -> None:
        task = self._find(id)
        if ("absent",) in expectations:
            assert task is None, "it is there"
            return
        assert task is not None, "it is not there"
        for expected in expectations:
            self._check(expected, task, task)

    def _find(self, id: str) -> tenure.Task | None:
        try:
            return self._ledger.find(id)
        except tenure.InvalidInput:
            return None

    def _snapshot(self, id: str) -> tuple[tenure.Task | None, int]:
        return self._find(id), sum(1 for _ in self._ledger.events())

    def _command(self, step: Step, words: Words) -> None:
        name = words.plain[1]
        before = self._snapshot(name)
        answer: Any
        try:
            answer = self._ask(words)
        except tenure.Refused as refused:
            answer = refused
        after = self._snapshot(name)
        if isinstance(answer, tenure.Refused) and not any(one[0] == "refused" for one in step.expectations):
            raise answer
        for expected in step.expectations:
            if expected[0] == "unchanged":
                assert before == after, f"{before} became {after}"
            else:
                self._check(expected, answer, after[0])

    def _ask(self, words: Words) -> Any:
        ledger, plain, get = self._ledger, words.plain, words.get
        command, name = plain[0], plain[1]
        owner = plain[2] if len(plain) > 2 else ""
        by: Any = {"owner": owner, "epoch": words.number("epoch")}
        # A retry says by `as` what the new task is called.
        actor = None if command == "retry" else get("as")
        given: Any = {"request_id": get("request")}
        if actor is not None:
            given["as_"] = actor
        reason = get("reason") or "because"
        operator: Any = {"as_": "operator", **given}
        if command in ("heartbeat", "progress"):
            given.pop("request_id")
        match command:
            case "create":
                return ledger.create(
                    name, **self._creation(words), compensations=[undo(one) for one in words.all("undo")], **operator
                )
            case "put":
                return ledger.put(self._record(name, words), **operator)
            case "dispatch":
                return ledger.dispatch(name, owner=owner, ttl=words.length("ttl"), **operator)
            case "acquire":
                return ledger.acquire(name, owner=owner, ttl=words.length("ttl"), keep=False, **given)
            case "reclaim":
                return ledger.reclaim(name, owner=owner, ttl=words.length("ttl"), **given)
            case "claim":
                limit = words.number("n")
                return ledger.claim(
                    name,
                    owner=owner,
                    ttl=words.length("ttl"),
                    limit=1 if limit is None else limit,
                    keep=False,
                    **given,
                )
            case "heartbeat":
                return ledger.heartbeat(
                    name,
                    **by,
                    ttl=words.length("ttl"),
                    progress=words.json("progress"),
                    checkpoint=words.json("checkpoint"),
                    **given,
                )
            case "progress":
                return ledger.progress(
                    name, **by, progress=words.json("progress"), checkpoint=words.json("checkpoint"), **given
                )
            case "release":
                return ledger.release(name, **by, reason=reason, delay=words.length("delay"), **given)
            case "register":
                one = undo(owner)
                if len(plain) > 3:
                    return ledger.register(
                        name, one.kind, one.target, owner=plain[3], epoch=words.number("epoch"), **given
                    )
                return ledger.register(name, one.kind, one.target, **operator)
            case "adopt":
                return ledger.adopt(name, **by, **given)
            case "settle":
                return ledger.settle(name, words.number("seq") or 0, **by, receipt=words.receipt("done"), **given)
            case "try":
                return ledger.settle(name, words.number("seq") or 0, **by, error=get("error") or "failed", **given)
            case "settle-by-hand":
                receipt = words.receipt("done")
                return ledger.settle(name, words.number("seq") or 0, receipt=receipt, reason=reason, **operator)
            case "label":
                changes: Any = {"set": words.pairs("set") or None, "unset": words.all("unset") or None}
                if owner:
                    return ledger.label(name, **by, **changes, **given)
                return ledger.label(name, **changes, reason=get("reason"), **operator)
            case "waive":
                return ledger.waive(name, words.number("seq") or 0, reason=reason, **operator)
            case "complete":
                return ledger.complete(name, **by, result=words.json("result"), **given)
            case "fail":
                return ledger.fail(name, **by, reason=reason, compensation=self._remaining(words), **given)
            case "rollback":
                return ledger.rollback(name, **by, reason=reason, keep="keep" in plain, **given)
            case "quarantine":
                return ledger.quarantine(name, **by, reason=reason, cause=get("parking"), **given)
            case "mark-completed":
                return ledger.complete(name, reason=reason, result=words.json("result"), **operator)
            case "mark-failed":
                return ledger.fail(name, reason=reason, compensation=self._remaining(words), **operator)
            case "mark-compensated":
                return self._waiving("compensate", words, operator, reason, {})
            case "mark-quarantined":
                return ledger.quarantine(name, reason=reason, **operator)
            case "cancel":
                return ledger.cancel(name, reason=reason, **operator)
            case "annotate":
                return ledger.note(
                    name,
                    get("note"),
                    terminal_reason=get("terminal-reason"),
                    dismiss="dismiss" in plain,
                    **operator,
                )
            case "retry":
                return self._waiving("retry", words, operator, reason, {"new_id": get("as")})
            case other:
                raise AssertionError(f"there is no command {other}")

    def _waiving(self, verb: str, words: Words, operator: Any, reason: str, more: dict[str, Any]) -> Any:
        """A command that waives. By the package's own method, unless a number is waived twice, which no mapping can say."""
        waivers = words.numbers("waive")
        waived = {seq: "gone" for seq in waivers}
        receipts = {seq: words.receipt("by_hand") for seq in words.numbers("done")}
        if len(waived) == len(waivers):
            method = getattr(self._ledger, verb)
            return method(words.plain[1], reason=reason, waive=waived, receipts=receipts, **more, **operator)
        waive = [{"seq": seq, "reason": "gone"} for seq in waivers]
        new_id = more.get("new_id")
        command: dict[str, Any] = {"verb": verb, "task": words.plain[1], "reason": reason, "waive": waive, "as": "operator"}
        if new_id is not None:
            command["id"] = new_id
        (answer,) = self._ledger.transact([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _remaining(self, words: Words) -> tenure.Compensation | None:
        text = words.get("undo")
        return None if text is None else undo(text)

    def _policy(self, words: Words) -> tenure.Policy:
        lengths: Any = {
            "lease_ttl": words.length("ttl"),
            "recover_after": words.length("recover-after"),
            "stall_after": words.length("stall-after"),
            "time_limit": words.length("time-limit"),
            "start_within": words.length("start-within"),
            "lock_delay": words.length("lock-delay"),
            "cancel_grace": words.length("cancel-grace"),
        }
        backoff = None
        if (text := words.get("backoff")) is not None:
            base, factor, cap = text.split(",")
            backoff = tenure.Backoff(base=length(base), factor=int(factor), cap=length(cap))
        return tenure.Policy(
            max_attempts=words.number("max-attempts"),
            on_lapse=words.get("on-lapse"),
            on_failure=words.get("on-failure"),
            when_spent=words.get("when-spent"),
            backoff=backoff,
            **lengths,
        )

    def _creation(self, words: Words) -> Any:
        payload = words.get("payload")
        return {
            "saga_id": words.get("saga"),
            "queue": words.get("queue"),
            "kind": words.get("kind"),
            "labels": words.pairs("label"),
            "payload": None if payload is None else json.loads(payload),
            "priority": words.number("priority"),
            "not_before": self._moved(words.get("not-before")),
            "policy": self._policy(words),
        }

    def _record(self, name: str, words: Words) -> dict[str, Any]:
        stored = self._find(name)
        restated: list[dict[str, Any]] = []
        for seq in words.numbers("restate"):
            found = None if stored is None else next((one for one in stored.compensations if one.seq == seq), None)
            kind, target = ("unknown", "number") if found is None else (found.kind, found.target)
            restated.append({"seq": seq, "kind": kind, "target": target})
        new = [one.to_dict() for one in map(undo, words.all("undo"))]
        creation = self._creation(words)
        creation["policy"] = creation["policy"].to_dict()
        members: dict[str, Any] = {
            **creation,
            "id": name,
            "not_before": _text(creation["not_before"]),
            "revision": words.number("revision"),
            "state": words.get("state"),
            **self._held_elsewhere(words),
            "created_at": _text(self._moved(words.get("created-at"))),
            "finished_at": _text(self._moved(words.get("finished-at"))),
            "epoch": words.number("epoch"),
            "attempts": words.number("attempts"),
            "compensations": restated + new,
        }
        if (result := words.get("result")) is not None:
            members["result"] = json.loads(result)
        return {key: value for key, value in members.items() if value is not None}

    def _held_elsewhere(self, words: Words) -> dict[str, Any]:
        """Who holds a record that moves in, and why it does; or why it ended."""
        if (owner := words.get("owner")) is None:
            return {"terminal_reason": words.get("reason")}
        holder = {
            "owner": owner,
            "granted_to": words.get("granted-to"),
            "expires_at": _text(self._moved(words.get("expires"))),
        }
        said = {key: value for key, value in holder.items() if value is not None}
        return {"reservation" if words.get("state") == "dispatched" else "lease": said, "reason": words.get("reason")}

    def _moved(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        by = length(text[1:])
        return self._clock.now() + by if text[0] == "+" else self._clock.now() - by

    # ---- expectations -----------------------------------------------------------------------------------------------

    def _check(self, expected: tuple[str, ...], answer: Any, after: tenure.Task | None) -> None:
        match expected:
            case ("refused", *words):
                self._check_refusal(words, answer)
                return
            case ("tasks", *names):
                assert isinstance(answer, list), answer
                claimed = cast("list[tenure.Task]", answer)
                ids = [task.id for task in claimed]
                assert names == (ids or ["none"]), ids
                return
            case ("history", *types):
                assert after is not None
                happened = [event.type for event in self._ledger.events(after.id)]
                assert types == happened, happened
                return
            case ("expires", by) if isinstance(answer, tenure.Renewal):
                assert answer.expires_at == self._moved(by), answer
                return
            case ("cancel", word) if isinstance(answer, tenure.Renewal):
                assert answer.cancel == (word == "asked"), answer
                return
            case _:
                pass
        first: Any = cast("list[tenure.Task]", answer)[0] if isinstance(answer, list) else answer
        task = first if isinstance(first, tenure.Task) else after
        assert task is not None
        found = self._found(expected, task)
        wanted = " ".join(expected[1:]) if expected[0] in SEVERAL_WORDS else expected[-1]
        if isinstance(found, datetime):
            assert found == self._moved(wanted), found
        else:
            assert wanted == found, f"expected {wanted}, found {found}"

    def _check_refusal(self, words: list[str], answer: Any) -> None:
        assert isinstance(answer, tenure.Refused), answer
        assert answer.code == words[0], answer
        match words[1:]:
            case ["by", owner]:
                assert answer.held_by is not None and answer.held_by.owner == owner, answer.held_by
            case [field]:
                assert answer.field == field, answer.field
            case _:
                pass

    def _found(self, expected: tuple[str, ...], task: tenure.Task) -> str | datetime:
        def compensation() -> tenure.Compensation:
            return next(one for one in task.compensations if one.seq == int(expected[1]))

        held = task.lease or task.reservation
        match expected[0]:
            case "state" | "epoch" | "attempts" | "revision" | "owed" as name:
                return str(getattr(task, name))
            case "cause":
                return task.cause or "none"
            case "holder":
                return held.owner if held else "none"
            case "nobody":
                return "nobody" if task.lease is None else task.lease.owner
            case "expires":
                assert held is not None
                return held.expires_at
            case "due":
                assert task.unwinding is not None and task.unwinding.due_at is not None
                return task.unwinding.due_at
            case "not-before":
                return task.not_before or "none"
            case "status":
                return compensation().status or "none"
            case "owes":
                epoch = compensation().epoch
                return "none" if epoch is None else str(epoch)
            case "key":
                # In the stories the namespace is `default`.
                return (compensation().key or "none").replace(f"{self._ledger.namespace}/", "default/", 1)
            case "tries":
                return str(compensation().tries)
            case "receipt":
                return compensation().receipt or "none"
            case "settled-by":
                return compensation().settled_by or "none"
            case "granted-to":
                return task.lease.granted_to if task.lease else "none"
            case "labels":
                return " ".join(f"{key}:{value}" for key, value in sorted(task.labels.items())) or "none"
            case "last-lease":
                return f"{task.last_lease.owner} {task.last_lease.epoch}" if task.last_lease else "none"
            case "last-since" | "last-until" as name:
                assert task.last_lease is not None
                return task.last_lease.since if name == "last-since" else task.last_lease.until
            case "reason":
                return task.terminal_reason or "none"
            case "result":
                return _json(task.result, "result" in task.to_dict().get("given_null", ()))
            case "cancel":
                return "asked" if task.cancel else "none"
            case "told":
                lease: dict[str, Any] = task.to_dict().get("lease") or {}
                told: dict[str, Any] = lease.get("cancel_told") or {}
                return str(told.get("times", 0))
            case "unwinding":
                return task.unwinding.why if task.unwinding else "none"
            case "dismissed":
                return task.dismissed.by if task.dismissed else "none"
            case "checkpoint":
                return _json(task.checkpoint, "checkpoint" in task.to_dict())
            case "progress":
                return _json(task.lease.progress if task.lease else None, "progress" in task.to_dict().get("given_null", ()))
            case "retried-as":
                return task.retried_as or "none"
            case "retry-of":
                return task.retry_of or "none"
            case "saga":
                return task.saga_id
            case "compensations":
                return str(len(task.compensations))
            case other:
                raise AssertionError(f"there is no expectation {other}")


def _json(value: Any, is_given: bool) -> str:
    if value is None and not is_given:
        return "none"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
