"""Commands under a lease, and the command line that the package carries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tenure


def test_a_command_runs_under_a_lease(ledger: tenure.Ledger, url: str) -> None:
    command = ["sh", "-c", 'echo "$TENURE_TASK $TENURE_OWNER $TENURE_EPOCH"; cat']
    result = tenure.run(command, task="t", store=ledger, owner="w1", stdout=subprocess.PIPE, input=b"in")
    assert (result.returncode, result.stdout) == (0, b"t w1 1\nin")
    assert ledger.get("t").state == "completed"


def test_a_command_that_fails_is_rolled_back(ledger: tenure.Ledger, url: str) -> None:
    ledger.create("t", max_attempts=1)
    result = tenure.run(["sh", "-c", "exit 7"], task="t", store=url)
    assert result.returncode == 7
    assert ledger.get("t").cause == "rolled_back"
    with pytest.raises(subprocess.CalledProcessError):
        tenure.run(["false"], task="u", store=url, on_failure="fail", check=True)
    assert ledger.get("u").state == "failed"


def test_a_task_that_somebody_has_is_not_run(ledger: tenure.Ledger, url: str) -> None:
    ledger.create("t")
    with ledger.acquire("t", owner="other") as lease:
        result = tenure.run(["true"], task="t", store=url, stderr=subprocess.PIPE)
        assert result.not_acquired and result.stderr is not None and b"leased" in result.stderr
        lease.complete()


def test_ctrl_c_ends_the_command_first(ledger: tenure.Ledger, url: str) -> None:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tenure.run(["sleep", "60"], task="t", store=url)
    assert time.monotonic() - begun < 30
    assert ledger.get("t").cause == "rolled_back"


def test_a_command_that_takes_too_long_is_ended_and_rolled_back(ledger: tenure.Ledger, url: str) -> None:
    command = ["sh", "-c", "echo begun; exec sleep 60"]
    with pytest.raises(subprocess.TimeoutExpired) as late:
        tenure.run(command, task="t", store=url, capture_output=True, text=True, timeout=1)
    assert (late.value.cmd, str(late.value.stdout)) == (command, "begun\n")
    assert ledger.get("t").cause == "rolled_back"


def test_output_is_captured_as_bytes_or_as_text(ledger: tenure.Ledger, url: str) -> None:
    command = ["sh", "-c", "cat; echo said >&2"]
    result = tenure.run(command, task="t", store=url, capture_output=True, input=b"in")
    assert (result.stdout, result.stderr) == (b"in", b"said\n")
    result = tenure.run(
        command, task="u", store=url, capture_output=True, input="in", encoding="utf-8", timeout=60
    )
    assert (result.stdout, result.stderr) == ("in", "said\n")
    with pytest.raises(tenure.InvalidInput, match="capture_output"):
        tenure.run(command, store=url, capture_output=True, stderr=subprocess.PIPE)
    with pytest.raises(tenure.InvalidInput, match="stdin"):
        tenure.run(command, store=url, stdin=subprocess.DEVNULL, input=b"in")


def test_a_relative_path_is_of_the_caller_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with tenure.open("sqlite:tasks.db") as ledger:
        for store in (ledger, "sqlite:tasks.db"):
            assert tenure.run(["true"], task=f"t{store == ledger}", store=store, cwd=elsewhere).returncode == 0
        assert len([*ledger.list(state="completed")]) == 2
    assert not (elsewhere / "tasks.db").exists()


def test_a_password_is_not_among_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def popen(arguments: list[str], **_: object) -> None:
        seen.append(arguments)
        raise OSError("seen")

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(OSError, match="seen"):
        tenure.run(["true"], store="postgres://ann:secret@db/work")
    assert "secret" not in " ".join(seen[0])


def test_what_is_no_command_or_no_store_is_refused(
    tenure_ledger: tenure.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tenure.InvalidInput, match="command"):
        tenure.run("make test", store="sqlite:x.db")
    with pytest.raises(tenure.InvalidInput, match="store"):
        tenure.run(["true"], store=tenure_ledger)
    monkeypatch.delenv("TENURE_STORE", raising=False)
    with pytest.raises(tenure.InvalidInput, match="TENURE_STORE"):
        tenure.run(["true"])


def test_the_command_line_comes_with_the_package() -> None:
    beside = Path(sys.executable).parent / "tenure"
    for program in ([str(beside)], [sys.executable, "-m", "tenure"]):
        said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
        assert said.stdout == f"tenure {tenure.__version__}\n"
