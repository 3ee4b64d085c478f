"""A store with the calls of a hand-written lease table, on top of a ledger.

Programs that pass every instant themselves can move in without a change: the clock of the ledger is set to the instant of each call. The store
decides by it. The epoch of each lease is kept here, so that a process whose lease was replaced is fenced off. Two processes should not use one
owner id: a name alone, as such a table has it, can't tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

import tenure
from tenure.testing import ManualClock


class SagaStore:
    """Tasks with leases that are granted, renewed and listed by explicit instants."""

    def __init__(self, url: str) -> None:
        # Before every instant that is passed: a store's time never goes back.
        self._clock = ManualClock(datetime(1970, 1, 1, tzinfo=timezone.utc))
        self._ledger = tenure.open(url, clock=self._clock)
        self._epochs: dict[tuple[str, str], int] = {}

    def create(
        self,
        task_id: str,
        created_at: datetime,
        saga_id: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        compensations: Iterable[tuple[str, str, str]] = (),
    ) -> tenure.Task:
        self._clock.set(created_at)
        undos = [tenure.Compensation(kind, target, reason=reason) for kind, target, reason in compensations]
        return self._ledger.create(task_id, saga_id=saga_id, labels=labels, compensations=undos)

    def put(self, record: tenure.Task | Mapping[str, tenure.Json]) -> tenure.Task:
        """Writes a whole record. One that was changed since it was read is refused."""
        return self._ledger.put(record)

    def get(self, task_id: str) -> tenure.Task | None:
        return self._ledger.find(task_id)

    def acquire_lease(
        self, task_id: str, owner_id: str, expires_at: datetime, acquired_at: datetime
    ) -> tenure.Task:
        self._clock.set(acquired_at)
        task = self._ledger.acquire(task_id, owner=owner_id, ttl=expires_at - acquired_at, keep=False)
        self._epochs[task_id, owner_id] = task.epoch
        return task

    def heartbeat(
        self, task_id: str, owner_id: str, heartbeat_at: datetime, expires_at: datetime
    ) -> tenure.Task:
        """Renews the lease from ``heartbeat_at`` to ``expires_at``."""
        self._clock.set(heartbeat_at)
        length = expires_at - heartbeat_at
        self._ledger.heartbeat(task_id, owner=owner_id, epoch=self._epoch(task_id, owner_id), ttl=length)
        return self._ledger.get(task_id)

    def list_stale(self, now: datetime) -> list[tenure.Task]:
        """The tasks whose lease has expired by ``now``."""
        self._clock.set(now)
        return [*self._ledger.stale()]

    def list_in_flight(self) -> list[tenure.Task]:
        return [*self._ledger.in_flight()]

    def mark_completed(self, task_id: str, owner_id: str, at: datetime) -> tenure.Task:
        self._clock.set(at)
        return self._ledger.complete(task_id, owner=owner_id, epoch=self._epoch(task_id, owner_id))

    def mark_failed(
        self, task_id: str, owner_id: str, at: datetime, reason: str, compensation: tenure.Compensation | None = None
    ) -> tenure.Task:
        """Fails it for good. Where nothing was registered, it must say what remains to undo."""
        self._clock.set(at)
        epoch = self._epoch(task_id, owner_id)
        return self._ledger.fail(task_id, owner=owner_id, epoch=epoch, reason=reason, compensation=compensation)

    def mark_compensated(self, task_id: str, at: datetime, reason: str, by: str) -> tenure.Task:
        """Closes it as undone. What it owed was undone elsewhere, by hand."""
        self._clock.set(at)
        undos = self._ledger.get(task_id).compensations
        waive = {one.seq: reason for one in undos if one.status == "owed" and one.seq is not None}
        return self._ledger.compensate(task_id, reason=reason, waive=waive, as_=by)

    def mark_quarantined(self, task_id: str, at: datetime, reason: str, by: str) -> tenure.Task:
        self._clock.set(at)
        return self._ledger.quarantine(task_id, reason=reason, as_=by)

    def _epoch(self, task_id: str, owner_id: str) -> int:
        if (task_id, owner_id) not in self._epochs:
            # This process was started after the lease was granted.
            lease = self._ledger.get(task_id).lease
            self._epochs[task_id, owner_id] = lease.epoch if lease is not None and lease.owner == owner_id else 0
        return self._epochs[task_id, owner_id]
