"""The tools for tests of a caller's own code."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

import tenure
from tenure import testing


def test_a_lease_lapses_to_the_second_without_sleeping(
    tenure_ledger: tenure.Ledger, tenure_clock: testing.ManualClock
) -> None:
    tenure_ledger.create("t", lease_ttl=60)
    task = tenure_ledger.acquire("t", owner="w", keep=False)
    tenure_clock.advance(timedelta(seconds=59, microseconds=999_999))
    assert not tenure_ledger.get("t").stale
    tenure_clock.advance(0.000_001)
    assert tenure_ledger.get("t").stale
    with pytest.raises(tenure.LeaseConflict) as lapsed:
        tenure_ledger.heartbeat("t", owner="w", epoch=task.epoch)
    assert lapsed.value.code == "lease_lapsed"


def test_a_clock_is_set_to_explicit_instants() -> None:
    clock = testing.ManualClock(datetime(2026, 3, 1, 12, tzinfo=timezone.utc))
    assert clock.now() == datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    clock.set(datetime(2026, 3, 1, 11, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == datetime(2026, 3, 1, 10, tzinfo=timezone.utc)
    assert clock.advance(1.5) == datetime(2026, 3, 1, 10, 0, 1, 500_000, tzinfo=timezone.utc)
    with pytest.raises(tenure.InvalidInput):
        clock.set(datetime(2026, 3, 1))
    with pytest.raises(tenure.InvalidInput):
        clock.advance(-1)


def test_fixtures_share_one_store(tenure_ledger: tenure.Ledger, tenure_server: testing.Server) -> None:
    tenure_ledger.create("t")
    with tenure.open(tenure_server.url) as remote:
        assert remote.get("t") == tenure_ledger.get("t")


def test_a_server_that_is_stopped_is_unavailable() -> None:
    with testing.ledger() as ledger, testing.Server(ledger) as server:
        remote = tenure.open(server.url)
        remote.create("t")
        server.stop()
        with pytest.raises((tenure.Unavailable, tenure.Unknown)):
            remote.create("u")
