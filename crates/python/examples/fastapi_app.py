"""An API whose long jobs are tasks: a request creates one, a worker in the same event loop does it, and another request asks how it goes.

    TENURE_STORE=sqlite:tasks.db uvicorn fastapi_app:app
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

import tenure
from tenure import aio

QUEUE = "reports"


async def make_report(job: aio.Job) -> dict[str, int]:
    """The work. It reports progress, and stops where somebody cancelled it."""
    pages: int = job.payload["pages"]
    for page in range(pages):
        await job.lease.progress(page=page, of=pages)
        await asyncio.sleep(0.01)
    return {"pages": pages}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with await aio.open() as ledger:
        worker = aio.Worker(ledger, QUEUE, at_once=10, grace=5)
        worker.on("report")(make_report)
        app.state.ledger = ledger
        # The server has its own handlers of signals; the worker is stopped with it.
        working = asyncio.create_task(worker.run(signals=False))
        yield
        worker.stop()
        await working


app = FastAPI(lifespan=lifespan)


def ledger_of(request: Request) -> aio.Ledger:
    ledger: aio.Ledger = request.app.state.ledger
    return ledger


@app.post("/reports/{id}", status_code=202)
async def create(id: str, pages: int, request: Request) -> dict[str, Any]:
    """Asks for a report. A repeat of the request is harmless."""
    task = await ledger_of(request).create(
        id, queue=QUEUE, kind="report", payload={"pages": pages}, request_id=f"report/{id}"
    )
    return {"id": task.id, "state": task.state}


@app.get("/reports/{id}")
async def show(id: str, request: Request) -> dict[str, Any]:
    """How it goes."""
    try:
        why = await ledger_of(request).why(id)
    except tenure.NotFound as error:
        raise HTTPException(404, error.message) from error
    return {"state": why.task.state, "why": str(why), "result": why.task.result}


@app.delete("/reports/{id}")
async def cancel(id: str, request: Request) -> dict[str, Any]:
    """Cancels it. A worker that is at it stops at its next report of progress."""
    try:
        task = await ledger_of(request).cancel(id, reason="the caller cancelled it", as_="api")
    except tenure.Refused as error:
        raise HTTPException(404 if error.code == "not_found" else 409, str(error)) from error
    return {"state": task.state}
