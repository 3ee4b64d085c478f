"""What the ledger answers: frozen, comparable, picklable."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone

import pytest

import tenure
from tenure.testing import ManualClock


@pytest.fixture
def task(tenure_ledger: tenure.Ledger) -> tenure.Task:
    tenure_ledger.create(
        "t",
        payload={"a": [1, None]},
        labels={"issue": "168"},
        lease_ttl=90,
        stall_after=timedelta(minutes=5),
        backoff=tenure.Backoff(base=2, factor=3, cap=60),
        compensations=[tenure.Compensation("rm", "/tmp/x", reason="made here")],
    )
    return tenure_ledger.acquire("t", owner="w1", keep=False)


def test_a_task_says_what_was_given_and_what_became_of_it(task: tenure.Task) -> None:
    assert (task.id, task.state, task.attempts, task.epoch) == ("t", "running", 1, 1)
    assert task.payload == {"a": [1, None]}
    assert task.labels == {"issue": "168"}
    assert task.policy.lease_ttl == timedelta(seconds=90)
    assert task.policy.stall_after == timedelta(minutes=5)
    assert task.policy.backoff == tenure.Backoff(base=2, factor=3, cap=60)
    assert task.lease is not None
    assert task.lease.expires_at - task.lease.acquired_at == timedelta(seconds=90)
    assert task.lease.expires_at.utcoffset() == timedelta(0)
    (owed,) = task.compensations
    assert (owed.seq, owed.kind, owed.target, owed.reason, owed.status) == (1, "rm", "/tmp/x", "made here", "owed")


def test_records_are_frozen(task: tenure.Task) -> None:
    for record in (task, task.lease, task.policy, task.compensations[0]):
        with pytest.raises(AttributeError, match="frozen"):
            record.kind = "other"  # type: ignore[union-attr]
    with pytest.raises(AttributeError, match="frozen"):
        setattr(task, "unheard_of", 1)
    with pytest.raises(TypeError):
        task.labels["issue"] = "1"  # type: ignore[index]


def test_records_are_compared_by_what_they_say_and_survive_pickle_and_copy(task: tenure.Task) -> None:
    assert task.lease is not None
    refusal = tenure.Refusal.from_json('{"code":"leased","message":"x","held_by":{"owner":"a","epoch":1}}')
    records: list[tenure.Record] = [task, task.lease, task.policy, task.compensations[0], refusal]
    for record in records:
        for other in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
            assert other == record and hash(other) == hash(record)
            assert type(other) is type(record)
        assert record != "something else"
    assert tenure.Compensation("rm", "/x") != tenure.Compensation("rm", "/y")
    assert len({task, pickle.loads(pickle.dumps(task))}) == 1


def test_repr_shows_what_matters(task: tenure.Task) -> None:
    assert repr(task).startswith("Task(id='t', state='running', queue='default', lease=Lease(owner='w1', epoch=1, ")
    assert repr(tenure.Compensation("rm", "/tmp/x", reason="r")) == "Compensation(kind='rm', target='/tmp/x', reason='r')"
    assert repr(tenure.Policy(max_attempts=3)) == "Policy(max_attempts=3)"


def test_a_policy_given_equals_the_policy_answered(tenure_ledger: tenure.Ledger) -> None:
    given = tenure.Policy(
        lease_ttl=60,
        max_attempts=2,
        on_lapse="either",
        recover_after=timedelta(minutes=5),
        on_failure="quarantine",
        when_spent="quarantined",
        time_limit=timedelta(hours=2),
        start_within=86_400,
    )
    assert tenure_ledger.create("t", policy=given).policy == given
    over = tenure_ledger.create("u", policy=given, recover_after=30).policy
    assert (over.on_lapse, over.recover_after, over.max_attempts) == ("either", timedelta(seconds=30), 2)


def test_exceptions_survive_pickle() -> None:
    refusal = tenure.Refusal.from_json('{"code":"leased","message":"somebody has it"}')
    for error in (tenure.LeaseConflict(refusal), tenure.Unavailable("x"), tenure.Corrupt("x", "c1"), tenure.ForkedProcess()):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)


def test_a_time_without_an_offset_is_refused_and_one_with_any_offset_comes_back_in_utc(
    tenure_ledger: tenure.Ledger, tenure_clock: ManualClock
) -> None:
    with pytest.raises(tenure.InvalidInput, match="offset") as refused:
        tenure_ledger.create("t", not_before=datetime(2026, 1, 1))
    assert refused.value.field == "not_before"
    east = timezone(timedelta(hours=5, minutes=30))
    task = tenure_ledger.create("t", not_before=datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=east))
    assert task.not_before == datetime(2026, 1, 1, 21, 34, 5, 678_901, tzinfo=timezone.utc)
    assert task.not_before is not None and task.not_before.tzinfo is timezone.utc


@pytest.mark.parametrize("wrong", [-1, timedelta(seconds=-1), float("nan"), float("inf"), True, "60s", 0.5])
def test_a_length_that_is_none_is_refused_by_its_name(tenure_ledger: tenure.Ledger, wrong: float) -> None:
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure_ledger.create("t", lease_ttl=wrong)
    assert "lease_ttl" in f"{refused.value.field} {refused.value.message}", refused.value
    assert tenure_ledger.find("t") is None


@pytest.mark.parametrize("wrong", [float("nan"), {1: "a"}.keys(), object(), {"a": {1, 2}}])
def test_a_payload_that_is_no_json_is_refused_by_its_name(tenure_ledger: tenure.Ledger, wrong: object) -> None:
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure_ledger.create("t", payload=wrong)  # type: ignore[arg-type]
    assert refused.value.field == "payload"


def test_a_payload_that_contains_itself_is_refused(tenure_ledger: tenure.Ledger) -> None:
    payload: list[tenure.Json] = []
    payload.append(payload)
    with pytest.raises(tenure.InvalidInput) as refused:
        tenure_ledger.create("t", payload=payload)
    assert refused.value.field == "payload"


def test_numbers_of_any_size_come_back_as_they_were_given(tenure_ledger: tenure.Ledger) -> None:
    payload: tenure.Json = {"big": 2**80, "negative": -(2**70), "fraction": 0.1, "text": "ä\u0001\U0001f600"}
    assert tenure_ledger.create("t", payload=payload).payload == payload
    assert tenure_ledger.get("t").payload == payload
