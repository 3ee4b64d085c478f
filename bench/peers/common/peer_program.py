"""What the Python programs share: the command line, percentiles, and the line of output.

../../README.md describes the contract that this keeps.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass

EXIT_FAILED = 1
EXIT_NO_SUCH_SHAPE = 3


@dataclass(frozen=True)
class Arguments:
    store: str
    shape: str
    callers: int
    batch: int
    seconds: float
    tasks: int


def parse_arguments(shapes: list[str]) -> Arguments:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--callers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tasks", type=int, default=0)
    arguments = Arguments(**vars(parser.parse_args()))
    if arguments.shape not in shapes:
        print(f"no shape {arguments.shape} here; there are {', '.join(shapes)}", file=sys.stderr)
        sys.exit(EXIT_NO_SUCH_SHAPE)
    return arguments


def fail(reason: str) -> None:
    print(reason, file=sys.stderr)
    sys.exit(EXIT_FAILED)


def require(condition: bool, what: str) -> None:
    """An `assert` that `python -O` can't remove, because the condition is the work that is measured."""
    if not condition:
        fail(f"failed: {what}")


def expect_equal(what: str, stored, expected) -> None:
    if stored != expected:
        fail(f"{what}: {stored} stored, {expected} expected")


def postgres_durability(settings: dict[str, str]) -> str:
    """Fails unless a commit is on disk before it is answered; says which settings make it so."""
    for name in ("fsync", "synchronous_commit"):
        if settings[name] != "on":
            fail(f"{name} is {settings[name]}: commits are not durable")
    return "fsync on, synchronous_commit on"


def percentiles_us(latencies_ns: list[int]) -> dict[str, int] | None:
    """Percentiles by nearest rank; nothing if nothing was timed."""
    if not latencies_ns:
        return None
    ordered = sorted(latencies_ns)

    def at(share: float) -> int:
        return ordered[max(math.ceil(len(ordered) * share), 1) - 1] // 1000

    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": ordered[-1] // 1000}


def print_result(version: str, done: int, seconds: float, latencies_ns: list[int], checked: str) -> None:
    result = {
        "version": version,
        "done": done,
        "seconds": round(seconds, 3),
        "latency_us": percentiles_us(latencies_ns),
        "checked": checked,
    }
    print(json.dumps(result), flush=True)
