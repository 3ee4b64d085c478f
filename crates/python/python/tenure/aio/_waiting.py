"""How a coroutine waits for the native module: the event loop watches a descriptor, and no other thread is involved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from .. import _native


class _Waiting:
    """What the coroutines of one event loop wait for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.port = _native.Port()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        loop.add_reader(self.port.fileno(), self._take)

    def _take(self) -> None:
        for ticket, value, error in self.port.take():
            future = self._waiting.pop(ticket, None)
            if future is None or future.done():
                # Its coroutine was cancelled while the answer was on its way.
                _give_back(value)
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

    async def wait(self, ticket: int) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.pop(ticket, None)
            self.port.give_up(ticket)
            if future.done() and not future.cancelled() and future.exception() is None:
                _give_back(future.result())
            raise


def _give_back(result: object) -> None:
    """Releases leases that were granted in the moment in which their caller was cancelled."""
    if isinstance(result, list):
        for one in cast("list[object]", result):
            if isinstance(one, _native.Lease):
                one.give_back()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()


async def call(operation: Callable[..., Any], *arguments: object) -> Any:
    """Runs an operation and waits for it. Other coroutines run meanwhile; cancelling gives it up."""
    loop = asyncio.get_running_loop()
    waiting = _of_loop.get(loop)
    if waiting is None:
        waiting = _of_loop[loop] = _Waiting(loop)
    return await waiting.wait(operation(*arguments, waiting.port))


_background: set[asyncio.Task[None]] = set()


def in_background(wait: Callable[..., Any], callback: Callable[[], object], name: str) -> None:
    """Calls ``callback`` once ``wait`` has come true, in a task of the event loop."""

    async def until_then() -> None:
        if await call(wait, None):
            callback()

    task = asyncio.get_running_loop().create_task(until_then(), name=name)
    # A loop holds its tasks only weakly.
    _background.add(task)
    task.add_done_callback(_background.discard)
