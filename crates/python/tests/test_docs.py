"""The Python lines of the documents run as they are printed, page by page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]
PAGES = [ROOT / "README.md", PACKAGE / "README.md", *sorted((ROOT / "docs" / "python").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page. One after `<!-- not run -->` shows a piece of another program."""
    found = re.findall(r"(<!-- not run -->\n)?^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for not_run, text in found if not not_run]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    program = "\n\n".join(blocks(page))
    assert program, "it has Python lines"
    path = tmp_path / "page.py"
    path.write_text(program)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENURE_")}
    command = [sys.executable, "-m", "pytest", "-q", "page.py"] if "def test_" in program else [sys.executable, "page.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
