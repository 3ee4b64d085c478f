"""The stores that the tests run on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tenure
from tenure.testing import ManualClock, Server

#: The URL of a database for tests, without a schema. `cargo xtask test` sets it.
POSTGRES = os.environ.get("TENURE_TEST_POSTGRES_URL")

KINDS = ("memory", "sqlite", "postgres", "http")

#: Opens a ledger in a namespace of the store.
Opener = Callable[..., tenure.Ledger]


def url_of(kind: str, folder: Path) -> str:
    """The URL of a new store of that kind."""
    if kind == "sqlite":
        return f"sqlite:{folder / 'tasks.db'}"
    if kind == "postgres":
        if POSTGRES is None:
            pytest.skip("there is no PostgreSQL: TENURE_TEST_POSTGRES_URL is not set")
        return f"{POSTGRES}?schema=py_{uuid.uuid4().hex[:16]}"
    return "memory:"


@pytest.fixture(scope="session", params=KINDS)
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tenure.Ledger, ManualClock]]:
    """A store of each kind and its clock, for all stories: each is played in a namespace of its own."""
    clock = ManualClock()
    kind: str = request.param
    with tenure.open(url_of(kind, tmp_path_factory.mktemp(kind)), clock=clock) as ledger:
        if kind != "http":
            yield ledger, clock
            return
        with Server(ledger) as server, server.open() as remote:
            yield remote, clock


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a new file."""
    return url_of("sqlite", tmp_path)


@pytest.fixture
def ledger(url: str) -> Iterator[tenure.Ledger]:
    """A ledger in a new file, by the machine's clock."""
    with tenure.open(url) as ledger:
        yield ledger
