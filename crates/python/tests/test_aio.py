"""The same for asyncio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tenure
from tenure import aio
from tenure.testing import Server

MAKE = Path(__file__).parents[1] / "make_aio.py"


def test_the_modules_are_as_they_are_made() -> None:
    made = subprocess.run([sys.executable, str(MAKE), "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_a_life(url: str) -> None:
    async def life() -> None:
        async with await aio.open(url) as ledger:
            await ledger.create("t", queue="q", payload={"n": 1})
            assert (await ledger.set("t", priority=5)).payload == {"n": 1}
            async with await ledger.acquire("t", owner="w", ttl=60) as lease:
                await lease.undo_with("rm", "x", reason="r")
                await lease.progress(percent=40)
                assert (await lease.label(branch="fix")).labels == {"branch": "fix"}
                assert (await lease.complete({"pr": 12})).result == {"pr": 12}
            assert [task.id async for task in ledger.list()] == ["t"]
            assert [event.type async for event in ledger.events("t")] == [
                "created",
                "changed",
                "acquired",
                "registered",
                "labelled",
                "completed",
            ]
            assert await ledger.verify()
            with pytest.raises(tenure.TerminalTask):
                await ledger.acquire("t", owner="w")

    asyncio.run(life())


def test_a_thousand_coroutines_wait_at_once(url: str) -> None:
    async def claims() -> None:
        ledger = await aio.open(url)
        waiting = [asyncio.create_task(ledger.claim("q", owner=f"w{number}", wait=60)) for number in range(1_000)]
        await asyncio.sleep(0.1)
        await ledger.transact([{"verb": "create", "id": f"t{number}", "queue": "q"} for number in range(1_000)])
        leases = [lease for (lease,) in await asyncio.gather(*waiting)]
        assert len({lease.id for lease in leases}) == 1_000
        await asyncio.gather(*(lease.complete() for lease in leases))
        ledger.close()

    asyncio.run(claims())


def test_an_exception_and_a_cancellation_roll_back(url: str) -> None:
    async def fails() -> None:
        async with await aio.open(url) as ledger:
            for id in ("a", "b"):
                await ledger.create(id)
            with pytest.raises(RuntimeError):
                async with await ledger.acquire("a", owner="w"):
                    raise RuntimeError("x")
            task = asyncio.create_task(hold(ledger))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [(await ledger.get(id)).cause for id in ("a", "b")] == ["rolled_back", "rolled_back"]

    async def hold(ledger: aio.Ledger) -> None:
        async with await ledger.acquire("b", owner="w"):
            await asyncio.sleep(3600)

    asyncio.run(fails())


def test_a_cancelled_claim_keeps_no_task(url: str) -> None:
    async def claims() -> None:
        async with await aio.open(url) as ledger:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ledger.claim("q", owner="gone", wait=60), 0.1)
            await ledger.create("t", queue="q")
            (task,) = await ledger.claim("q", owner="w", wait=30, keep=False)
            assert task.lease is not None and task.lease.owner == "w"

    asyncio.run(claims())


def test_a_lease_that_was_granted_as_its_coroutine_was_cancelled_is_released(url: str) -> None:
    async def acquires() -> None:
        async with await aio.open(url) as ledger:
            for number in range(20):
                await ledger.create(f"t{number}")
                acquiring = asyncio.create_task(ledger.acquire(f"t{number}", owner="w", ttl=3600))
                await asyncio.sleep(0)
                # The answer comes while the loop is busy.
                time.sleep(0.02)
                acquiring.cancel()
                await asyncio.gather(acquiring, return_exceptions=True)
            deadline = time.monotonic() + 30
            while [task async for task in ledger.list(state="running")]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    asyncio.run(acquires())


def test_loss_and_cancel_are_heard(url: str) -> None:
    async def hears() -> None:
        async with await aio.open(url) as ledger:
            await ledger.create("t", cancel_grace=10)
            heard = asyncio.Event()
            with pytest.raises(tenure.CancelAsked):
                async with await ledger.acquire("t", owner="w", ttl=1) as lease:
                    lease.on_stop(heard.set)
                    await ledger.cancel("t", reason="r", as_="alice")
                    assert await lease.wait_for_stop(30)
                    await asyncio.wait_for(heard.wait(), 30)
                    lease.check()
            assert (await ledger.get("t")).cause == "cancelled"

    asyncio.run(hears())


def test_a_worker_runs_many_coroutines_and_drains(url: str) -> None:
    async def works() -> None:
        async with await aio.open(url) as ledger:
            worker = aio.Worker(ledger, "q", at_once=50, grace=0.2)

            @worker.on("quick")
            async def quick(job: aio.Job) -> dict[str, str]:
                await asyncio.sleep(0.01)
                return {"id": job.id}

            @worker.on("slow")
            async def slow(job: aio.Job) -> None:
                await asyncio.sleep(3600)

            for number in range(100):
                await ledger.create(f"t{number}", queue="q", kind="quick")
            await ledger.create("slow", queue="q", kind="slow")
            asyncio.get_running_loop().call_later(2, worker.stop)
            report = await worker.run()
            assert (report.claimed, report.completed, report.released) == (101, 100, 1)
            assert (await ledger.get("slow")).state == "planned"
            assert (await ledger.get("t42")).result == {"id": "t42"}

    asyncio.run(works())


def test_a_worker_that_is_cancelled_releases_its_tasks(url: str) -> None:
    async def works() -> None:
        async with await aio.open(url) as ledger:
            worker = aio.Worker(ledger, "q", at_once=5)

            @worker.otherwise
            async def work(job: aio.Job) -> None:
                await asyncio.sleep(3600)

            for number in range(10):
                await ledger.create(f"t{number}", queue="q", lease_ttl=3600)
            running = asyncio.create_task(worker.run())
            while len([task async for task in ledger.list(state="running")]) < 5:
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert {task.state async for task in ledger.list()} == {"planned"}

    asyncio.run(works())


def test_a_coroutine_whose_lease_is_lost_is_cancelled(url: str) -> None:
    async def works() -> None:
        async with await aio.open(url) as ledger:
            worker = aio.Worker(ledger, "q")
            ended: list[str] = []

            @worker.otherwise
            async def work(job: aio.Job) -> None:
                await ledger.quarantine(job.id, reason="r", as_="alice")
                try:
                    await asyncio.sleep(3600)
                finally:
                    ended.append(job.id)

            await ledger.create("t", queue="q", lease_ttl=1)
            report = await worker.run(until_idle=True)
            assert ended == ["t"] and report.lost == 1

    asyncio.run(works())


def test_recovery_awaits_its_handlers(url: str) -> None:
    async def recovers() -> None:
        async with await aio.open(url) as ledger:
            await ledger.create("t")
            lease = await ledger.acquire("t", owner="w", ttl=1)
            await lease.undo_with("rm", "x", reason="r")
            lease.let_go()
            recovery = aio.Recovery(ledger)

            @recovery.on("rm")
            async def remove(undo: tenure.UndoCall) -> str:
                await asyncio.sleep(0.01)
                return f"{undo.target} is gone"

            watching = asyncio.create_task(recovery.watch())
            assert (await ledger.wait("t", timeout=60)).state == "compensated"
            recovery.stop()
            assert (await watching).undone == 1

    asyncio.run(recovers())


def test_a_server_and_many_loops(tenure_server: Server) -> None:
    async def life(number: int) -> None:
        async with await aio.open(tenure_server.url) as ledger:
            await ledger.create(f"t{number}")

    for number in range(5):
        asyncio.run(life(number))
