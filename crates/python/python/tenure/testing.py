"""For tests of code that uses Tenure: a clock that moves only when it is told to, a ledger in memory, and a server in this process.

So a test can let a lease lapse, to the second, without sleeping. The pytest plugin, which is installed with the package, has fixtures:
``tenure_clock``, ``tenure_ledger`` and ``tenure_server``.
"""

from __future__ import annotations

from datetime import datetime, timezone
from types import TracebackType

from . import _native
from ._json import Duration, instant_at, micros_of, micros_of_length
from ._ledger import Ledger, opened

#: When a manual clock begins, if nothing else is said.
BEGINNING = datetime(2026, 1, 1, tzinfo=timezone.utc)


class ManualClock:
    """A clock that stands still until it is moved. Give it to ``tenure.open(…, clock=clock)``.

    A lease that is kept renews itself by the machine's clock; with this one take leases with ``keep=False`` and send heartbeats.
    """

    def __init__(self, at: datetime = BEGINNING) -> None:
        self._native = _native.ManualClock(micros_of(at, "at"))

    def now(self) -> datetime:
        """What it shows, in UTC."""
        return instant_at(self._native.now())

    def set(self, at: datetime) -> None:
        """Sets it, also back."""
        self._native.set(micros_of(at, "at"))

    def advance(self, length: Duration) -> datetime:
        """Moves it ahead, and returns what it shows then."""
        self._native.advance(micros_of_length(length, "length"))
        return self.now()

    def __repr__(self) -> str:
        return f"<ManualClock {self.now().isoformat()}>"


def ledger(clock: ManualClock | None = None, *, namespace: str = "default") -> Ledger:
    """A ledger in memory, by that clock or the machine's."""
    return opened("memory:", namespace, None, None, True, clock, clock is None)


class Server:
    """A server in this process, on a free port of the loopback address, over the store of a ledger. Use it in a ``with`` block."""

    def __init__(self, ledger: Ledger) -> None:
        self._native = _native.Server(ledger._native)

    @property
    def url(self) -> str:
        """Where it is: give it to ``tenure.open``."""
        return self._native.url

    def open(self, *, namespace: str = "default") -> Ledger:
        """A ledger that reaches it by its URL, and whose backoffs have no jitter."""
        return opened(self.url, namespace, None, None, True, None, False)

    def stop(self) -> None:
        """Stops it."""
        self._native.stop()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()


__all__ = ["BEGINNING", "ManualClock", "Server", "ledger"]
