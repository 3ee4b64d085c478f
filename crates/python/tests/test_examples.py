"""The examples, each as its reader would use it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tenure

EXAMPLES = Path(__file__).parents[1] / "examples"
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    # A relative one, as the examples say: it is of this folder, wherever a command runs.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENURE_STORE", "sqlite:tasks.db")
    yield


def example(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def test_a_store_with_explicit_instants_is_under_a_hundred_lines() -> None:
    lines = (EXAMPLES / "saga_store.py").read_text().splitlines()
    assert len(lines) < 100


def test_a_store_with_explicit_instants(url: str) -> None:
    store = example("saga_store").SagaStore(url)
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    store.create("a", noon, "saga-a", labels={"issue": "168"})
    for id in ("b", "c", "d"):
        store.create(id, noon, f"saga-{id}", compensations=[("remove-worktree", f"/tmp/{id}", "made")])
    assert store.get("nobody") is None
    task = store.acquire_lease("a", "w1", noon + MINUTE, noon)
    assert task.lease.expires_at == noon + MINUTE
    with pytest.raises(tenure.LeaseConflict):
        store.acquire_lease("a", "w2", noon + 2 * MINUTE, noon + MINUTE / 2)
    beaten = store.heartbeat("a", "w1", noon + MINUTE / 2, noon + 2 * MINUTE)
    assert beaten.lease.heartbeat_at == noon + MINUTE / 2
    assert [one.id for one in store.list_in_flight()] == ["a"]
    assert store.list_stale(noon + MINUTE) == []
    assert [one.id for one in store.list_stale(noon + 2 * MINUTE)] == ["a"]
    with pytest.raises(tenure.LeaseConflict) as late:
        store.heartbeat("a", "w1", noon + 2 * MINUTE, noon + 3 * MINUTE)
    assert late.value.code == "lease_lapsed"
    # Somebody else takes it over, and the first owner is fenced off.
    store.acquire_lease("a", "w2", noon + 4 * MINUTE, noon + 3 * MINUTE)
    # A program that was started again knows the epoch of its own leases.
    assert example("saga_store").SagaStore(url).heartbeat("a", "w2", noon + 3 * MINUTE, noon + 5 * MINUTE)
    with pytest.raises(tenure.LeaseConflict):
        store.mark_completed("a", "w1", noon + 3 * MINUTE)
    assert store.mark_completed("a", "w2", noon + 3 * MINUTE).finished_at == noon + 3 * MINUTE
    later = noon + timedelta(hours=1)
    store.acquire_lease("b", "w1", later + MINUTE, later)
    assert store.mark_failed("b", "w1", later, "no such repo").state == "failed"
    assert store.mark_compensated("c", later, "cleaned by hand", by="alice").state == "compensated"
    assert store.mark_quarantined("d", later, "needs a look", by="alice").state == "quarantined"
    read = store.get("d")
    with pytest.raises(tenure.TerminalTask):
        store.put({**read.to_dict(), "priority": 3})


def test_fastapi(url: str) -> None:
    from fastapi.testclient import TestClient

    running: Any = TestClient(example("fastapi_app").app)
    with running as client, tenure.open(url) as ledger:
        assert client.post("/reports/r1", params={"pages": 3}).json() == {"id": "r1", "state": "planned"}
        assert client.post("/reports/r1", params={"pages": 3}).status_code == 202, "a repeat is harmless"
        assert ledger.wait("r1", timeout=60).state == "completed"
        shown = client.get("/reports/r1").json()
        assert shown["result"] == {"pages": 3} and "r1 is completed" in shown["why"]
        assert client.get("/reports/nobody").status_code == 404
        assert client.delete("/reports/r1").status_code == 409
        client.post("/reports/r2", params={"pages": 1_000_000})
        assert client.delete("/reports/r2").status_code == 200
        assert ledger.wait("r2", timeout=60).cause == "cancelled"


def test_celery(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("celery_task")
    module.app.conf.task_always_eager = True
    with tenure.open(url) as ledger:
        assert module.build.delay("b1", "x").get() == {"built": "x"}
        assert ledger.get("b1").result == {"built": "x"}
        assert module.build.delay("b1", "x").get() is None, "a second delivery does nothing"
        ledger.create("b2", queue="celery")
        with ledger.acquire("b2", owner="another-delivery") as lease:
            retried: list[float] = []

            class Again(Exception):
                """Stands for Celery's own, which an eager task answers by running again at once."""

            def retry(*, countdown: float) -> Again:
                retried.append(countdown)
                return Again()

            monkeypatch.setattr(module.build, "retry", retry)
            with pytest.raises(Again):
                module.build("b2", "x")
            assert 1 <= retried[0] <= 60
            lease.complete()


CELERY_SETTINGS = """
import sys
sys.path.insert(0, {examples!r})
from celery_task import app, build
app.conf.broker_url = "filesystem://"
app.conf.broker_transport_options = {{"data_folder_in": {queue!r}, "data_folder_out": {queue!r}}}
"""


def test_celery_with_workers_that_it_forks(url: str, tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    settings = CELERY_SETTINGS.format(examples=str(EXAMPLES), queue=str(queue))
    (tmp_path / "settings.py").write_text(settings)
    deliver = "from settings import build\nfor number in range(3): build.delay('b', 'x'); build.delay(f'c{number}', 'y')"
    program = [sys.executable, "-m", "celery", "-A", "settings", "worker", "--pool=prefork", "-c", "2"]
    with tenure.open(url) as ledger:
        with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
            subprocess.run([sys.executable, "-c", deliver], cwd=tmp_path, check=True)
            for id in ("b", "c0", "c1", "c2"):
                while ledger.find(id) is None:
                    assert worker.poll() is None, "Celery's worker ended"
                    time.sleep(0.05)
                assert ledger.wait(id, timeout=60).state == "completed"
            worker.terminate()
        assert [event.type for event in ledger.events("b")].count("acquired") == 1, "three deliveries, one run"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    for command in (
        ["git", "init", "--quiet", str(path)],
        ["git", "-C", str(path), "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(command, check=True)
    return path


def test_a_coding_agent(url: str, repository: Path) -> None:
    module = example("coding_agent")
    with tenure.open() as ledger:
        done = module.run_agent(ledger, "good", repository, ["sh", "-c", "pwd > where"])
        assert done.returncode == 0
        worktree = repository.parent / "repository-good"
        assert (worktree / "where").read_text().strip() == str(worktree)
        assert not (worktree / "tasks.db").exists(), "the store is the caller's"
        assert ledger.get("good").state == "completed"
        failed = module.run_agent(ledger, "bad", repository, ["sh", "-c", "echo broken >&2; exit 1"])
        assert failed.returncode == 1
        assert (repository.parent / "repository-bad").exists()
        assert module.recovery(ledger, repository).once().undone == 1
        assert not (repository.parent / "repository-bad").exists()
        assert worktree.exists(), "what succeeded is kept"
        assert ledger.get("bad").state == "planned", "an attempt is left"


def test_the_coding_agent_as_a_program(url: str, repository: Path) -> None:
    program = [sys.executable, str(EXAMPLES / "coding_agent.py"), "issue-168", str(repository), "--", "true"]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "issue-168 is completed" in ended.stdout
