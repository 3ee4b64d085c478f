"""Fixtures for tests of code that uses Tenure. pytest loads them from the installed package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import testing
from ._ledger import Ledger


@pytest.fixture
def tenure_clock() -> testing.ManualClock:
    """A clock that moves only when it is told to."""
    return testing.ManualClock()


@pytest.fixture
def tenure_ledger(tenure_clock: testing.ManualClock) -> Iterator[Ledger]:
    """A ledger in memory, by ``tenure_clock``."""
    with testing.ledger(tenure_clock) as ledger:
        yield ledger


@pytest.fixture
def tenure_server(tenure_ledger: Ledger) -> Iterator[testing.Server]:
    """A server in this process over ``tenure_ledger``, for code that opens a URL."""
    with testing.Server(tenure_ledger) as server:
        yield server
