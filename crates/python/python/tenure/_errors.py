"""What Tenure raises. Each answer that is not "done" has a class, so that ``except`` can tell them apart."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._records import HeldBy, Refusal


class TenureError(Exception):
    """Anything that Tenure raises."""


class Refused(TenureError):
    """The ledger refused the command. Nothing changed.

    ``code`` is stable: decide by it, or by the class. The text is for people.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        #: The refusal with all it says.
        self.refusal = refusal

    @property
    def code(self) -> str:
        """Why, as a word that never changes, such as ``leased``."""
        return self.refusal.code

    @property
    def message(self) -> str:
        """Why, in a sentence for people."""
        return self.refusal.message

    @property
    def field(self) -> str | None:
        """The argument that is wrong, for ``invalid``."""
        return self.refusal.field

    @property
    def state(self) -> str | None:
        """The state of the task."""
        return self.refusal.state

    @property
    def held_by(self) -> HeldBy | None:
        """Who holds the task, since when, and until when."""
        return self.refusal.held_by

    @property
    def retry_at(self) -> datetime | None:
        """The earliest time at which the same command can succeed, if time alone may lift the refusal."""
        return self.refusal.retry_at

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Conflict(Refused):
    """The task or its compensations are not as the command needs them."""


class LeaseConflict(Conflict):
    """The lease is somebody else's, or over, or can't be extended."""


class LeaseLost(LeaseConflict):
    """The lease that a keeper renewed is lost. Stop the work: somebody else may have the task."""


class TerminalTask(Refused):
    """The task has ended, and nothing changes it any more."""


class NotFound(Refused):
    """The task or compensation does not exist."""


class InvalidInput(Refused, ValueError):
    """An argument is malformed or beyond its limit; ``field`` names it."""


class Forbidden(Refused):
    """The token or lease does not allow it."""


class Unavailable(TenureError):
    """The store can't be reached. Nothing was done; a later try may succeed."""


class Unknown(TenureError):
    """It is not known whether the command was done. Repeat it with the same ``request_id``."""


class Corrupt(TenureError):
    """What is stored is damaged, or was not written by Tenure. Nothing was done; a person must look."""

    def __init__(self, message: str, cursor: str | None = None) -> None:
        super().__init__(message, cursor)
        #: Where a history goes on behind what can't be read.
        self.cursor = cursor

    def __str__(self) -> str:
        return str(self.args[0])


class CancelAsked(TenureError):
    """Somebody asked for the task to be cancelled: the work must stop. Leaving it by this exception rolls the task back."""


class WorkerStopping(TenureError):
    """The worker is told to stop, and the grace for running work is over. Leaving the work by this exception releases the task."""


class ForkedProcess(TenureError, RuntimeError):
    """This process was forked from one that had opened a ledger, and can't use Tenure."""

    def __init__(self) -> None:
        super().__init__(
            "this process was forked after a ledger was opened; threads and locks stay with the parent. "
            "Open the ledger only after the fork, or start processes with the method `spawn` or `forkserver`"
        )

    def __reduce__(self) -> tuple[type[ForkedProcess], tuple[()]]:
        return type(self), ()


_CLASSES: dict[str, type[Refused]] = {
    **dict.fromkeys(
        (
            "exists",
            "request_reused",
            "compensation_required",
            "compensation_owed",
            "compensation_settled",
            "wrong_state",
            "stale_write",
        ),
        Conflict,
    ),
    **dict.fromkeys(
        (
            "leased",
            "reserved",
            "not_due",
            "no_lease",
            "stale_epoch",
            "wrong_owner",
            "lease_lapsed",
            "not_extending",
            "stalled",
            "out_of_time",
            "cancelled",
        ),
        LeaseConflict,
    ),
    "terminal": TerminalTask,
    "not_found": NotFound,
    "invalid": InvalidInput,
    "forbidden": Forbidden,
}

_KINDS: dict[str, type[TenureError]] = {"unavailable": Unavailable, "unknown": Unknown, "corrupt": Corrupt}


def refused(refusal: Refusal) -> Refused:
    """The exception for a refusal. A code of a later version is at least a refusal."""
    return _CLASSES.get(refusal.code, Refused)(refusal)


def exception_of(text: str) -> TenureError:
    """The exception for an error of the native module: JSON, under the name of its kind."""
    from ._records import Refusal

    ((kind, said),) = json.loads(text).items()
    if kind == "refusal":
        return refused(Refusal._of(said))
    return _KINDS[kind](said["message"])


def invalid(field: str, limit: str) -> InvalidInput:
    """The refusal of an argument, as the ledger would word it."""
    from ._records import Refusal

    return InvalidInput(Refusal._of({"code": "invalid", "message": f"{field}: {limit}", "field": field}))
