# Celery has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUntypedFunctionDecorator=false
# mypy: disable-error-code="untyped-decorator"
"""A Celery task that holds a lease.

Celery may run a task twice: after a visibility timeout, after a worker died, or because it was sent twice. The lease makes sure that one of them
works on it at a time, that one which was replaced can't finish it, and that what a dead one left is undone.

A worker process of Celery is forked, so each opens the ledger for itself, after the fork.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_init

import tenure

app = Celery("builds", broker=os.environ.get("CELERY_BROKER", "memory://"))

_ledger: tenure.Ledger | None = None


@worker_process_init.connect
def open_ledger(**_: Any) -> None:
    global _ledger
    _ledger = tenure.open()


def ledger() -> tenure.Ledger:
    if _ledger is None:
        open_ledger()
    assert _ledger is not None
    return _ledger


@app.task(bind=True, max_retries=None)
def build(self: Task, build_id: str, repository: str) -> dict[str, str] | None:
    """Builds once, however often Celery delivers it."""
    try:
        ledger().create(build_id, queue="celery", payload={"repository": repository}, max_attempts=3)
    except tenure.Conflict:
        pass  # An earlier delivery created it.
    owner = f"celery/{self.request.id}"
    try:
        lease = ledger().acquire(build_id, owner=owner, ttl=60)
    except tenure.TerminalTask:
        return None  # It is done: this delivery is a repeat.
    except tenure.LeaseConflict as busy:
        # Another worker has it. Come back when its lease would have lapsed.
        wait = (busy.retry_at - ledger().now()).total_seconds() if busy.retry_at else 10.0
        raise self.retry(countdown=max(wait, 1.0)) from busy
    with lease:
        lease.undo_with("remove-worktree", f"/tmp/{build_id}", reason="made by this build")
        lease.progress(step="build")
        result = {"built": repository}
        lease.complete(result)
        return result
