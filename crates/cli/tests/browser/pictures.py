"""Takes the pictures of the console and of `tenure top` for the documents, of a fleet of made-up agents. `cargo xtask pictures` says where the programs are."""

from __future__ import annotations

import fcntl
import html
import io
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

FOLDER = Path(os.environ["TENURE_PICTURES"])
TENURE = os.environ["TENURE_BINARY"]
DESKTOP = {"width": 1280, "height": 1000}
PHONE = {"width": 390, "height": 844}
#: What a page shows below that is left out.
HEIGHT_MAX = 1_800
#: Text on plain ground needs no more.
COLOURS = 128
#: Rows and columns of the terminal, and how long it shows the fleet before its picture is taken.
TERMINAL = (38, 120)
TERMINAL_SECONDS = 4
COLOURS_OF_TEXT = {"cd0000": "#ff9b87", "00cdcd": "#79d1c2", "00cd00": "#7cc997"}
#: How long the fleet may take to show something of each kind.
WAIT_SECONDS = 120

#: What the first page must have, as lists of the API, and how many tasks of each.
SHOWN = {
    "state=running": 6,
    "state=completed": 50,
    "state=failed": 3,
    "state=compensated&cause=lapsed": 1,
    "state=quarantined": 4,
    "stale=true": 1,
}
RECOVERED = "state=compensated&cause=lapsed"


@contextmanager
def fleet() -> Iterator[str]:
    """Runs the fleet, and gives its URL. It ends with the pictures, and after ten minutes in any case."""
    words = [TENURE, "demo", "--serve", "--seed", "7", "--for", "10m", "--listen", "127.0.0.1:0", "-o", "json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the demo did not start")
        url: str = json.loads(line)["demo"]["url"]
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def tasks(url: str, query: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/v1/default/tasks?limit=100&{query}", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["tasks"]
        return found


def wait(url: str) -> None:
    """Waits until there is something of each kind."""
    missing = dict(SHOWN)
    for _ in range(WAIT_SECONDS):
        missing = {query: count for query, count in missing.items() if len(tasks(url, query)) < count}
        if not missing:
            return
        time.sleep(1)
    raise SystemExit(f"after {WAIT_SECONDS} seconds these are missing: {missing}")


def recovered(url: str) -> str:
    """The task with the most undos that recovery ran."""
    return str(max(tasks(url, RECOVERED), key=lambda task: len(task["compensations"]))["id"])


def take(browser: Browser, address: str, name: str, size: dict[str, int], scheme: str) -> None:
    """Keeps a picture of a page."""
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.goto(address, wait_until="load")
    keep(page.screenshot(full_page=True), name)
    context.close()


def keep(png: bytes, name: str) -> None:
    """Keeps a picture with few colours."""
    taken = Image.open(io.BytesIO(png)).convert("RGB")
    shown = taken.crop((0, 0, taken.width, min(taken.height, HEIGHT_MAX)))
    few = shown.quantize(colors=COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


def terminal(url: str) -> pyte.Screen:
    """What `tenure top` shows at a terminal after some seconds."""
    rows, columns = TERMINAL
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    child, keys = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ.pop("NO_COLOR", None)
        os.execv(TENURE, [TENURE, "top", "--store", url])
    fcntl.ioctl(keys, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    end = time.monotonic() + TERMINAL_SECONDS
    while time.monotonic() < end:
        if select.select([keys], [], [], 0.2)[0]:
            stream.feed(os.read(keys, 65_536))
    os.write(keys, b"q")
    os.waitpid(child, 0)
    return screen


def as_page(screen: pyte.Screen) -> str:
    """The screen as a page: each run of letters of one look is a piece of it."""
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        pieces = []
        for (colour, is_bold, is_reversed), run in groupby(cells, key=lambda cell: (cell.fg, cell.bold, cell.reverse)):
            text = html.escape("".join(cell.data for cell in run))
            style = f"color:{COLOURS_OF_TEXT.get(colour, '#d8dcd9')}" + (";font-weight:600" if is_bold else "")
            style = "background:#d8dcd9;color:#131615" if is_reversed else style
            pieces.append(f'<span style="{style}">{text}</span>')
        lines.append("".join(pieces))
    body = "\n".join(lines)
    return f'<body style="margin:0;background:#131615"><pre style="margin:16px;font:14px/1.3 monospace">{body}</pre>'


def take_terminal(browser: Browser, url: str, name: str) -> None:
    """Keeps a picture of `tenure top`."""
    page = browser.new_page()
    page.set_content(as_page(terminal(url)))
    box = page.locator("pre").evaluate("pre => { const r = document.createRange(); r.selectNodeContents(pre); return r.getBoundingClientRect().right }")
    page.set_viewport_size({"width": int(box) + 16, "height": 400})
    keep(page.screenshot(full_page=True), name)
    page.close()


def main() -> None:
    with fleet() as url, sync_playwright() as playwright:
        wait(url)
        browser = playwright.chromium.launch(executable_path=os.environ["TENURE_CHROMIUM"], args=["--no-sandbox"])
        take(browser, f"{url}/", "console-now-light", DESKTOP, "light")
        take(browser, f"{url}/", "console-now-dark", DESKTOP, "dark")
        take(browser, f"{url}/", "console-now-phone", PHONE, "light")
        take(browser, f"{url}/triage", "console-triage", DESKTOP, "light")
        take(browser, f"{url}/tasks/default/{recovered(url)}", "console-task", DESKTOP, "light")
        take_terminal(browser, url, "top")
        browser.close()


if __name__ == "__main__":
    main()
