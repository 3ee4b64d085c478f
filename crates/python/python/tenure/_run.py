"""Runs a command under a lease, by the program ``tenure run``."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal, Union

from ._binary import find
from ._errors import invalid
from ._json import Duration, length_text, seconds_of
from ._ledger import Ledger, absolute

_NOT_ACQUIRED = 75
_LOST = 79

#: Where a stream of the command goes: as for ``subprocess.run``.
Stream = Union[None, int, IO[Any]]


class RunResult:
    """How a command under a lease ended."""

    def __init__(self, args: Sequence[str], returncode: int, stdout: Any, stderr: Any) -> None:
        #: The command.
        self.args = tuple(args)
        #: The command's own status; 128 and the number of the signal that ended it; 75, 79 and so on as ``tenure run --help`` says.
        self.returncode = returncode
        #: What it wrote, if it was captured: bytes, or a text with ``text`` or ``encoding``.
        self.stdout = stdout
        #: What it and ``tenure run`` wrote to standard error, if that was captured.
        self.stderr = stderr

    @property
    def not_acquired(self) -> bool:
        """Whether the status is 75: the lease could not be acquired, so that the command was not run. A command's own 75 looks the same."""
        return self.returncode == _NOT_ACQUIRED

    @property
    def lost(self) -> bool:
        """Whether the status is 79: the lease was lost, so that the command was stopped. A command's own 79 looks the same."""
        return self.returncode == _LOST

    def check_returncode(self) -> None:
        """Raises ``subprocess.CalledProcessError`` unless the command ended with 0."""
        if self.returncode != 0:
            raise subprocess.CalledProcessError(self.returncode, self.args, self.stdout, self.stderr)

    def __repr__(self) -> str:
        return f"RunResult(args={list(self.args)!r}, returncode={self.returncode})"


def run(
    command: Sequence[str],
    *,
    task: str | None = None,
    store: Ledger | str | None = None,
    namespace: str | None = None,
    owner: str | None = None,
    ttl: Duration | None = None,
    wait: Duration | None = None,
    on_failure: Literal["rollback", "fail", "release"] = "rollback",
    grace: Duration | None = None,
    record_timeout: Duration | None = None,
    keep_errors: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
    input: bytes | str | None = None,
    capture_output: bool = False,
    text: bool = False,
    encoding: str | None = None,
    errors: str | None = None,
    timeout: Duration | None = None,
    check: bool = False,
) -> RunResult:
    """Runs a command under a lease on ``task``, and waits for its end.

    It is ``tenure run``: the lease is renewed while the command runs; when the lease is lost, the command and all it started are ended; a
    command that ends badly is rolled back (``on_failure``). A task that does not exist is created in the queue ``run``; without ``task`` a new
    one is made. To give it a payload or a policy, ``create`` it before. The command finds the lease in its environment (``TENURE_TASK``,
    ``TENURE_OWNER``, ``TENURE_EPOCH`` and so on).

    ``store`` is a ledger or a URL; by default ``TENURE_STORE``. ``wait`` is how long it waits for a task that is held. From ``cwd`` on, the
    arguments are those of ``subprocess.run``. Ctrl-C asks the command to end, and is raised when it has ended, and so is
    ``subprocess.TimeoutExpired`` after ``timeout``: what the command did is rolled back first.
    """
    if isinstance(command, str) or not command:
        raise invalid("command", "a list of the program and its arguments, such as ['make', 'test']")
    environment = {**(os.environ if env is None else env), **_place(store, namespace)}
    arguments = [find(), "run", *_option("--task", task), *_option("--owner", owner), "--on-failure", on_failure]
    lengths = {"--ttl": ttl, "--wait": wait, "--grace": grace, "--record-timeout": record_timeout}
    for name, length in lengths.items():
        if length is not None:
            arguments += [name, length_text(length, name.strip("-").replace("-", "_"))]
    if keep_errors:
        arguments.append("--keep-errors")
    program = [*arguments, "--", *command]
    if input is not None:
        if stdin is not None:
            raise invalid("stdin", "give `input` or `stdin`, not both")
        stdin = subprocess.PIPE
    if capture_output:
        if stdout is not None or stderr is not None:
            raise invalid("capture_output", "it is for both streams; give it, or `stdout` and `stderr`")
        stdout = stderr = subprocess.PIPE
    seconds = None if timeout is None else seconds_of(timeout, "timeout")
    process: subprocess.Popen[Any] = subprocess.Popen(
        program,
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=text,
        encoding=encoding,
        errors=errors,
    )
    out, err = _until_ended(process, command, input, seconds)
    result = RunResult(command, process.returncode, out, err)
    if check:
        result.check_returncode()
    return result


def _until_ended(
    process: subprocess.Popen[Any], command: Sequence[str], input: bytes | str | None, timeout: float | None
) -> tuple[Any, Any]:
    """Waits for the end. A process that was asked to end is still awaited: its end is recorded under the lease."""
    interrupted: KeyboardInterrupt | None = None
    is_late = False
    while True:
        try:
            out, err = process.communicate(input, None if is_late else timeout)
            break
        except KeyboardInterrupt as interrupt:
            interrupted, input = interrupt, None
            # From a terminal it has the signal already; twice is harmless.
            process.send_signal(signal.SIGINT)
        except subprocess.TimeoutExpired:
            is_late, input = True, None
            process.send_signal(signal.SIGTERM)
    if interrupted is not None:
        raise interrupted
    # It may have ended well in just that moment: then its task is completed.
    if is_late and timeout is not None and process.returncode != 0:
        raise subprocess.TimeoutExpired(command, timeout, output=out, stderr=err)
    return out, err


def _place(store: Ledger | str | None, namespace: str | None) -> dict[str, str]:
    """What tells the program where the store is. The environment, because everybody on the machine can read arguments."""
    token: str | None = None
    if isinstance(store, Ledger):
        ledger = store
        url: str | None = ledger._url
        namespace, token = namespace or ledger.namespace, ledger._token
    else:
        url = store if store is not None else os.environ.get("TENURE_STORE")
    if url is None:
        raise invalid("store", "give a ledger or the URL of a store, such as sqlite:tasks.db, or set TENURE_STORE")
    if url.startswith("memory:"):
        raise invalid("store", "a command can't reach a ledger in the memory of this process; use a file")
    # The program is started in another folder, perhaps.
    place = {"TENURE_STORE": absolute(url), "TENURE_NAMESPACE": namespace, "TENURE_TOKEN": token}
    return {name: value for name, value in place.items() if value is not None}


def _option(name: str, value: str | None) -> list[str]:
    return [] if value is None else [name, value]
