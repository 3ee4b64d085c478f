#!/usr/bin/env python3
"""Claims tasks from a queue over Tenure's HTTP API, and runs a command for each. Python 3.10 or later, no packages.

    TENURE_STORE=http://127.0.0.1:7117 ./worker.py --queue agents -- ./build.sh

The command reads the task's payload (JSON) on standard input, and finds TENURE_TASK, TENURE_OWNER and TENURE_EPOCH in
its environment. Status 0 completes the task, and what the command printed becomes the result. Any other status rolls
the task back. SIGTERM stops the worker in order. TENURE_NAMESPACE and TENURE_TOKEN mean what they mean to `tenure`.
The page "A worker over HTTP in any language" explains the rules that this program follows.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from datetime import datetime

# These codes mean that the lease is lost: the first set for every command, the second one for heartbeats.
LOST = {"terminal", "no_lease", "stale_epoch", "wrong_owner", "lease_lapsed"}
LOST_FOR_HEARTBEAT = LOST | {"not_found", "wrong_state"}
# After these codes the outcome is unknown, or waiting helps: send the command again under the same key.
REPEAT = {"no_answer", "unavailable", "unknown", "broken", "too_many_requests", "too_slow"}
NO_ANSWER = {"code": "no_answer", "detail": "Tenure did not answer"}
ANSWER_TIMEOUT = 15  # seconds until a command without an answer is sent again
RECORD_TIMEOUT = 300  # seconds to keep trying to record how a task ended
STOPPED = "release", {"reason": "the worker was told to stop"}


def clock() -> float:
    """Seconds on a clock that nobody can set. On Linux it also counts while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def log(subject: str, text: str) -> None:
    print(f"worker: {subject}: {text}", file=sys.stderr, flush=True)


def describe(answer: dict) -> str:
    return f"{answer['code']}: {answer.get('detail')}"[:1000]


class Server:
    def __init__(self):
        self.url = urllib.parse.urlsplit(os.environ.setdefault("TENURE_STORE", "http://127.0.0.1:7117"))
        if self.url.scheme not in ("http", "https"):
            sys.exit("worker: TENURE_STORE must be the http:// or https:// URL of a server")
        self.namespace = urllib.parse.quote(os.environ.get("TENURE_NAMESPACE", "default"), safe="")
        self.headers = {"Content-Type": "application/json"}
        if token := os.environ.get("TENURE_TOKEN"):
            self.headers["Authorization"] = f"Bearer {token}"
        self.claim = None  # the connection of the newest claim

    def request(self, path: str, field: str, timeout: float, body: dict | None = None, headers: dict = {}) -> dict:
        """Sends one request once. The answer has either that `field` or, as an error, a `code`."""
        is_tls = self.url.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = kind(self.url.netloc, timeout=timeout)
        if path.endswith("/claims"):
            self.claim = connection
        try:
            target = f"{self.url.path.rstrip('/')}/v1/{path}"
            method, text = ("POST", json.dumps(body)) if body else ("GET", None)
            connection.request(method, target, text, self.headers | headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status in (200, 201) and field in answer:
                return answer
            # Only a refusal has a `message`. `not_found` without one is about the URL and not about a task.
            is_about_url = answer["code"] == "not_found" and "message" not in answer
            return answer | {"code": "no_such_route"} if is_about_url else answer
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return NO_ANSWER  # a proxy's own answer has no code and ends here: it does not know what was done
        finally:
            connection.close()

    def send(self, path: str, body: dict, go_on, timeout: float = ANSWER_TIMEOUT) -> dict:
        """Sends a command, always under one key, until its outcome is known or `go_on()` is false."""
        key, rest = {"Idempotency-Key": str(uuid.uuid4())}, 0.25
        field = "tasks" if path == "claims" else "task"
        while True:
            answer = self.request(f"{self.namespace}/{path}", field, timeout, body, key)
            if answer.get("code") not in REPEAT or not go_on():
                return answer
            if rest == 0.5:  # once, and not for a first failure
                log(path, f"sent again until it is answered: {describe(answer)}")
            time.sleep(rest)
            rest = min(rest * 2, 5)

    def interrupt_claim(self) -> None:
        """Ends the wait for work. The claim is then sent again, so that no task that it was granted is lost."""
        with contextlib.suppress(OSError, AttributeError):
            self.claim.sock.shutdown(socket.SHUT_RDWR)


class Lease:
    """The lease of one task. A thread renews it until the task has ended or the lease is lost."""

    def __init__(self, server: Server, task: dict):
        self.server, self.task, lease = server, task["id"], task["lease"]
        self.holder = {"owner": lease["owner"], "epoch": lease["epoch"]}
        self.cancel_asked, self.renewal_error, self.loss, self.expires_at = False, None, None, lease["expires_at"]
        self.over, self.ready = threading.Event(), threading.Event()
        # The claim may be much older than its answer. So these deadlines only bound how long `read_clock` is tried.
        self.set_deadlines(clock(), lease["acquired_at"], lease["expires_at"])
        threading.Thread(target=self.renew_until_over, daemon=True).start()

    def set_deadlines(self, sent: float, at: str, expires_at: str) -> float:
        """Sets the deadlines, and returns how long to rest before the next renewal.

        The time that is left counts from when the request was sent: nobody knows how much of it the answer took."""
        begin, end = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (at, expires_at))
        left = (end - begin).total_seconds()
        # The last quarter is the margin: the command has time to end, and clocks may differ.
        self.stop_at, self.kill_at = sent + left * 0.75, sent + left * 0.9
        return max(sent + left / 3 - clock(), 0)

    def why_lost(self) -> str | None:
        if not self.loss and clock() >= self.stop_at:
            self.loss = "it was not renewed in time"  # for good: a renewal that is answered later changes nothing
        return self.loss

    def renew_until_over(self) -> None:
        rest = 0.0
        while not self.over.wait(rest) and not self.why_lost():
            rest = self.renew() if self.ready.is_set() else self.read_clock()
        self.ready.set()

    def read_clock(self) -> float:
        """Learns from Tenure's clock how much of a new lease is left. Then the work may begin."""
        sent = clock()
        answer = self.server.request("now", "now", timeout=5)
        if "code" in answer:
            return self.rest_after(answer, sent)
        rest = self.set_deadlines(sent, answer["now"], self.expires_at)
        self.ready.set()
        return rest

    def renew(self) -> float:
        """Renews once, and returns how long to rest before the next time."""
        sent = clock()
        timeout = min(max((self.stop_at - sent) / 3, 0.1), 10)  # leaves time to try again
        path = f"{self.server.namespace}/tasks/{self.task}/heartbeat?return=minimal"
        answer = self.server.request(path, "renewal", timeout, self.holder)
        if renewal := answer.get("renewal"):
            self.cancel_asked, self.renewal_error = renewal["cancel"], None
            return self.set_deadlines(sent, renewal["at"], renewal["expires_at"])
        if answer["code"] in LOST_FOR_HEARTBEAT:
            self.loss, self.kill_at = describe(answer), 0
        self.cancel_asked = self.cancel_asked or answer["code"] == "cancelled"
        return self.rest_after(answer, sent)

    def rest_after(self, answer: dict, sent: float) -> float:
        if self.renewal_error != describe(answer) and not self.loss:
            self.renewal_error = describe(answer)
            log(self.task, f"the lease was not renewed; the work continues until it is lost: {self.renewal_error}")
        return max((self.stop_at - sent) / 12, 0.25)

    def end(self, verb: str, body: dict) -> dict:
        """Records how the task ended. Work that was done in time still counts if the lease lapses meanwhile."""
        until = clock() + RECORD_TIMEOUT
        answer = self.server.send(f"tasks/{self.task}/{verb}", self.holder | body, lambda: clock() < until)
        log(self.task, f"{verb} was not recorded: {describe(answer)}" if "code" in answer else f"{verb} {body}")
        return answer


class Worker:
    def __init__(self, options: argparse.Namespace):
        self.options, self.server = options, Server()
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self.drain_until = math.inf  # finite once the worker was told to stop

    def on_signal(self, *_) -> None:
        """The first signal lets the command go on for a while. The second one stops it."""
        self.drain_until = clock() + (0 if self.is_draining() else self.options.drain)
        self.server.interrupt_claim()

    def is_draining(self) -> bool:
        return self.drain_until < math.inf

    def run(self) -> None:
        while not self.is_draining():
            for task in self.claim():
                lease = Lease(self.server, task)
                self.work(lease, task["payload"])
                lease.over.set()

    def claim(self) -> list:
        body = {"queue": self.options.queue, "owner": self.owner, "wait": f"{self.options.wait}s"}

        def go_on() -> bool:
            if self.is_draining():
                body.pop("wait", None)  # only to learn what the claim was granted
            return clock() < self.drain_until

        answer = self.server.send("claims", body, go_on, self.options.wait + ANSWER_TIMEOUT)
        if "code" in answer and not self.is_draining():
            sys.exit(f"worker: can't claim: {describe(answer)}")
        return answer.get("tasks", [])

    def work(self, lease: Lease, payload) -> None:
        lease.ready.wait()
        end = STOPPED if self.is_draining() or lease.why_lost() else self.run_command(lease, payload)
        if lease.why_lost():
            # Recovery undoes what this attempt owes. Another worker may have the task already.
            log(lease.task, f"the lease is lost, nothing is recorded: {lease.why_lost()}")
        elif "code" in (answer := lease.end(*end)) and end[0] == "complete" and answer["code"] not in LOST | REPEAT:
            lease.end("rollback", {"reason": f"complete was refused: {describe(answer)}"})

    def run_command(self, lease: Lease, payload) -> tuple[str, dict]:
        """Runs the command, and returns how the task ends: the verb and its body."""
        names = {"TASK": lease.task, "OWNER": lease.holder["owner"], "EPOCH": str(lease.holder["epoch"])}
        env = os.environ | {f"TENURE_{name}": value for name, value in names.items()}
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
            stdin.write(json.dumps(payload).encode() + b"\n")
            stdin.seek(0)
            command = subprocess.Popen(
                self.options.command, stdin=stdin, stdout=stdout, env=env, start_new_session=True)
            # The guard reads from this process. If this process is killed, the guard kills the command.
            guard = subprocess.Popen(
                ["sh", "-c", 'read line; kill -9 "-$1"', "sh", str(command.pid)],
                stdin=subprocess.PIPE, start_new_session=True)
            end = self.watch(command, lease)
            guard.kill()
            guard.communicate()
            stdout.seek(0)
            output = stdout.read().decode(errors="replace").strip()
        if end:
            return end
        if command.returncode:
            return "rollback", {"reason": f"the command ended with status {command.returncode}"}
        with contextlib.suppress(ValueError):
            output = json.loads(output)
        return "complete", {"result": output} if output != "" else {}

    def watch(self, command: subprocess.Popen, lease: Lease) -> tuple[str, dict] | None:
        """Waits for the command. Stops it if the lease is lost, the task is cancelled or the drain is over."""
        end, kill_at = None, math.inf
        while command.poll() is None:
            if lease.why_lost() or lease.cancel_asked or clock() >= self.drain_until:
                if end is None:
                    end = ("rollback", {"reason": "the task was cancelled"}) if lease.cancel_asked else STOPPED
                    kill_at = clock() + self.options.grace
                    signal_group(command, signal.SIGTERM)
                elif clock() >= min(kill_at, lease.kill_at):
                    signal_group(command, signal.SIGKILL)
            time.sleep(0.05)
        signal_group(command, signal.SIGKILL)  # what the command started and left behind
        return end


def signal_group(command: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(command.pid, number)


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs a command for each task of a queue.")
    parser.add_argument("--queue", required=True)
    parser.add_argument("--wait", type=int, default=30, help="seconds that a claim waits for work, up to 60")
    parser.add_argument("--grace", type=float, default=10, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--drain", type=float, default=20, help="seconds that the command may go on after a signal")
    parser.add_argument("command", nargs="+", help="the command, after --")
    worker = Worker(parser.parse_args())
    if not shutil.which(worker.options.command[0]):
        parser.error(f"there is no command {worker.options.command[0]}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.on_signal)
    worker.run()


if __name__ == "__main__":
    main()
