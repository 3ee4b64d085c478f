"""A coding agent's command, run under a lease: it is stopped when the lease is lost, and what it left is undone if it fails.

    TENURE_STORE=sqlite:tasks.db python coding_agent.py issue-168 /path/to/repository -- my-agent --task 168
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import tenure


def run_agent(
    ledger: tenure.Ledger, id: str, repository: Path, command: list[str], *, time_limit: float = 3600
) -> tenure.RunResult:
    """Makes a worktree for the agent, with its undo, and runs the agent in it."""
    worktree = repository.parent / f"{repository.name}-{id}"
    try:
        # The undo is part of the task from the beginning, so no crash can come between the two.
        ledger.create(
            id,
            queue="agents",
            labels={"repository": repository.name},
            time_limit=time_limit,
            max_attempts=2,
            compensations=[tenure.Compensation("remove-worktree", str(worktree), reason="the agent works in it")],
        )
    except tenure.Conflict:
        pass  # It is tried again.
    if not worktree.exists():
        git(repository, "worktree", "add", "--quiet", "--detach", str(worktree))
    return tenure.run(command, task=id, store=ledger, owner=f"agent/{id}", ttl=30, cwd=worktree, keep_errors=True)


def recovery(ledger: tenure.Ledger, repository: Path) -> tenure.Recovery:
    """What removes the worktrees of agents that failed or died."""
    recovery = tenure.Recovery(ledger)

    @recovery.on("remove-worktree")
    def remove_worktree(undo: tenure.UndoCall) -> str:
        # Running twice is harmless: what is gone is gone.
        shutil.rmtree(undo.target, ignore_errors=True)
        git(repository, "worktree", "prune")
        return f"{undo.target} is removed"

    return recovery


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(repository), *arguments], check=True)


def main() -> int:
    id, repository, _, *command = sys.argv[1:]
    with tenure.open() as ledger:
        result = run_agent(ledger, id, Path(repository), command)
        recovery(ledger, Path(repository)).once()
        print(ledger.why(id))
        return result.returncode


if __name__ == "__main__":
    sys.exit(main())
