"""A server of its own for each test, and a browser for all. `cargo xtask browser` says where both programs are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

PICTURES = Path(os.environ["TENURE_PICTURES"])
TENURE = os.environ["TENURE_BINARY"]
# A slow machine is no fault of a page.
expect.set_options(timeout=20_000)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


class Server:
    """A server over a new file, and what tests do behind the browser's back."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:{folder}/tasks.db"
        settings = folder / "tenure.toml"
        settings.write_text('[undo.close-pr]\nrun = ["true", "{target}"]\nallow = "^[0-9]+$"\n')
        self.process = subprocess.Popen(
            [TENURE, "serve", "--store", self.store, "--config", str(settings), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.url = found.group()
                return
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def post(self, path: str, token: str | None = None, **body: object) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{self.url}/v1/default/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def token(self, name: str, role: str) -> str:
        words = [TENURE, "token", "create", "--store", self.store, "--name", name, "--role", role, "-o", "json"]
        told = subprocess.run(words, check=True, capture_output=True, text=True)
        token: str = json.loads(told.stdout)["token"]
        return token

    def held(self, id: str, owner: str = "w1", **fields: object) -> int:
        """A task that somebody holds. Returns its epoch."""
        self.post("tasks", id=id, **fields)
        epoch: int = self.post(f"tasks/{id}/acquire", owner=owner, ttl="1h")["task"]["lease"]["epoch"]
        return epoch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["TENURE_CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Opener]:
    """Opens pages. What a script says is wrong, and what asks for another server, fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def says(message: ConsoleMessage) -> None:
        # A refused form is shown by the page; the browser notes its status besides.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def open_page(path: str = "/", *, scheme: str = "light", size: dict[str, int] = DESKTOP) -> Page:
        context = browser.new_context(viewport=size, color_scheme=scheme, base_url=server.url)
        contexts.append(context)
        page = context.new_page()
        page.on("console", says)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(server.url) else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a picture of a page, for people to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    return keep
