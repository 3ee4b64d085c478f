"""The durable record of who is working on what, until when, and how to undo it.

A *task* is created; a worker takes a *lease* on it, with an epoch that fences off everybody who held it before; it registers how to undo each
side effect before it makes it; it ends the task in a terminal state that nothing changes any more. When a worker dies its lease lapses, and
recovery takes the task over.

    import tenure

    ledger = tenure.open("sqlite:tasks.db")            # or postgres://, http://, memory:
    ledger.create("build-42", queue="agents")
    with ledger.acquire("build-42", owner="w1", ttl=60) as lease:   # renewed in the background, not by Python threads
        lease.undo_with("close-pr", "pr/12", reason="opened by this run")   # before the effect
        lease.progress(percent=40)
        lease.complete({"pr": 12})                     # an exception rolls back

Where to look:

- ``open``, ``Ledger``: every command and every list. ``KeptLease``: a lease that is renewed by itself.
- ``Worker``: claims tasks of a queue and runs a function for each. ``Recovery``: undoes what stale tasks owe. ``run``: a command under a lease.
- ``tenure.aio``: all of it for asyncio. ``tenure.testing``: a manual clock, a ledger in memory, a server for tests.
- ``Refused`` and its subclasses: why a command was not done. ``Unavailable``, ``Unknown``, ``Corrupt``: the store could not do it.

Times are ``datetime`` with an offset, and come back in UTC; lengths are seconds or ``timedelta``; payloads are plain JSON values.
"""

from typing import TYPE_CHECKING, Any

from ._errors import (
    CancelAsked,
    Conflict,
    Corrupt,
    Forbidden,
    ForkedProcess,
    InvalidInput,
    LeaseConflict,
    LeaseLost,
    NotFound,
    Refused,
    TenureError,
    TerminalTask,
    Unavailable,
    Unknown,
    WorkerStopping,
)
from ._json import UNSET, Duration, Json
from ._ledger import Answer, Ledger, open
from ._lease import KeptLease
from ._records import (
    Backoff,
    Cancel,
    Compensation,
    Dismissal,
    EndCount,
    Event,
    Finding,
    HeldBy,
    Holding,
    LastLease,
    Lease,
    MinuteCount,
    NamedCursor,
    NewToken,
    NextStep,
    Note,
    Oldest,
    Overview,
    PlannedTask,
    PlannedUndo,
    Policy,
    QueueCount,
    Record,
    RecoveredTask,
    RecoveryReport,
    Refusal,
    Renewal,
    Reservation,
    StateCount,
    Task,
    Token,
    UndoCall,
    UndoReceipt,
    Unwinding,
    VerifyReport,
    Why,
)
from ._recovery import GiveUp, Recovery
from ._run import RunResult, run
from ._worker import FailTask, Job, QuarantineTask, RetryLater, Worker, WorkerReport

if TYPE_CHECKING:
    from . import aio, testing


def __getattr__(name: str) -> Any:
    """``tenure.aio`` and ``tenure.testing`` are loaded when they are used: asyncio takes a moment that a short program need not spend."""
    if name in ("aio", "testing"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "Answer",
    "Backoff",
    "Cancel",
    "CancelAsked",
    "Compensation",
    "Conflict",
    "Corrupt",
    "Dismissal",
    "Duration",
    "EndCount",
    "Event",
    "FailTask",
    "Finding",
    "Forbidden",
    "ForkedProcess",
    "GiveUp",
    "HeldBy",
    "Holding",
    "InvalidInput",
    "Job",
    "Json",
    "KeptLease",
    "LastLease",
    "Lease",
    "LeaseConflict",
    "LeaseLost",
    "MinuteCount",
    "Ledger",
    "NamedCursor",
    "NewToken",
    "NextStep",
    "NotFound",
    "Note",
    "Oldest",
    "Overview",
    "PlannedTask",
    "PlannedUndo",
    "Policy",
    "QuarantineTask",
    "QueueCount",
    "Record",
    "RecoveredTask",
    "Recovery",
    "RecoveryReport",
    "Refusal",
    "Refused",
    "Renewal",
    "Reservation",
    "RetryLater",
    "RunResult",
    "StateCount",
    "Task",
    "TenureError",
    "TerminalTask",
    "Token",
    "Unavailable",
    "UndoCall",
    "UndoReceipt",
    "Unknown",
    "Unwinding",
    "VerifyReport",
    "Why",
    "Worker",
    "WorkerReport",
    "WorkerStopping",
    "aio",
    "open",
    "run",
    "testing",
]
