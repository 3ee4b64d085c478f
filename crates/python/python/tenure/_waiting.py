"""How a caller waits for the native module: it blocks, without the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def call(operation: Callable[..., Any], *arguments: object) -> Any:
    """Runs an operation and waits for it. Other threads run meanwhile, and Ctrl-C interrupts it."""
    return operation(*arguments, None)


def in_background(wait: Callable[..., Any], callback: Callable[[], object], name: str) -> None:
    """Calls ``callback`` once ``wait`` has come true, in a thread that does not keep the process from ending."""

    def until_then() -> None:
        if call(wait, None):
            callback()

    threading.Thread(target=until_then, name=name, daemon=True).start()
