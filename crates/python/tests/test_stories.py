"""The conformance suite: every story, by the Python package, on every kind of store."""

from __future__ import annotations

import pytest
from stories import Story, World, stories

import tenure
from tenure.testing import ManualClock

STORIES = stories()


def test_there_are_stories() -> None:
    assert len(STORIES) > 300


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.file}: {story.title}")
def test_story(story: Story, shared_store: tuple[tenure.Ledger, ManualClock]) -> None:
    if story.names_own_leases:
        pytest.skip("it limits a command to its actor's leases, which only a token can")
    ledger, clock = shared_store
    namespace = f"s{STORIES.index(story)}"
    World(ledger.in_namespace(namespace), clock).play(story)
