"""Passes what the library logs on to ``logging``, under the names of its modules: ``tenure``, ``tenure.keeper`` and so on.

Nothing is logged for each call: INFO and above say what an operator should know, and DEBUG what somebody who looks for a fault wants.
"""

from __future__ import annotations

import atexit
import logging
import threading

from . import _native
from ._errors import ForkedProcess

_lock = threading.Lock()
_is_started = False


def start() -> None:
    """Begins to pass log lines on, once."""
    global _is_started
    with _lock:
        if _is_started:
            return
        _is_started = True
    _native.install_logs()
    # Registered before the thread starts, so that the last lines are not lost.
    atexit.register(_pass_on, 0.0)
    threading.Thread(target=_pump, name="tenure-logging", daemon=True).start()


def _pump() -> None:
    while _pass_on(3600.0):
        pass


def _pass_on(timeout: float) -> bool:
    """Passes on the lines that wait, or that come within that many seconds. Returns whether there can be more."""
    try:
        dropped, lines = _native.next_logs(timeout)
    except ForkedProcess:
        return False
    if dropped:
        logging.getLogger("tenure").warning("%s log lines were dropped: nobody took them in time", dropped)
    for level, target, message in lines:
        logging.getLogger(target).log(level, "%s", message)
    return True
