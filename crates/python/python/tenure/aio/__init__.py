"""Tenure for asyncio: the same names as in ``tenure``, awaited.

    ledger = await tenure.aio.open("sqlite:tasks.db")
    await ledger.create("build-42", queue="agents")
    async with await ledger.acquire("build-42", owner="w1", ttl=60) as lease:
        await lease.undo_with("close-pr", "pr/12", reason="opened by this run")
        await lease.complete({"pr": 12})

No thread of Tenure enters the interpreter: the event loop watches a descriptor. So thousands of coroutines can wait at once, and nothing
can crash when the interpreter ends. It needs a loop that watches descriptors (``add_reader``), as asyncio's own and uvloop's do on Linux and
macOS. Records and exceptions are those of ``tenure``.
"""

from ._ledger import Answer, Ledger, open
from ._lease import KeptLease
from ._recovery import Recovery
from ._worker import Job, Worker

__all__ = ["Answer", "Job", "KeptLease", "Ledger", "Recovery", "Worker", "open"]
