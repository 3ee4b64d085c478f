#!/usr/bin/env python3
"""Makes the ledger and the lease of `tenure.aio` from those that block, so that the two are never apart.

    python3 make_aio.py           writes python/tenure/aio/_ledger.py and _lease.py
    python3 make_aio.py --check   only says whether they are as they would be written

What waits in the one is awaited in the other: a function is asynchronous if it calls `call`, or another function that is.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "python" / "tenure"
NAMES = ("_ledger.py", "_lease.py")

#: Modules of which `tenure.aio` has its own.
OWN_MODULES = ("_ledger", "_lease", "_waiting")

#: Where functions of other modules wait. `close` does not: what it waits for is short.
WAITING = {"call"}

WORDS = (
    (r"\b__enter__\b", "__aenter__"),
    (r"\b__exit__\b", "__aexit__"),
    (r"\bIterator\b", "AsyncIterator"),
    (r"``with`` block", "``async with`` block"),
    (r"``tenure\.open``", "``tenure.aio.open``"),
    (r"``tenure\.open\(", "``tenure.aio.open("),
    (r"in a thread of its own", "in the event loop"),
    (r"may be shared by threads", "belongs to an event loop"),
    (r"from \.testing\b", "from ..testing"),
)

HEAD = "# Made from {name} by make_aio.py: change that, and run it again.\n"


def made(name: str) -> str:
    """The text of a module of `tenure.aio`."""
    source = (PACKAGE / name).read_bytes()
    tree = ast.parse(source)
    waiting = names_that_wait(tree)
    lines = source.splitlines(keepends=True)
    for line, column, words in sorted(insertions(tree, waiting), reverse=True):
        before = lines[line - 1]
        lines[line - 1] = before[:column] + words + before[column:]
    text = b"".join(lines).decode()
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"^(\s*)from \.(\w*) import", importing, text, flags=re.MULTILINE)
    docstring_end = text.index('"""', 3) + 3
    return text[:docstring_end] + "\n\n" + HEAD.format(name=name) + text[docstring_end:].lstrip("\n")


def importing(found: re.Match[str]) -> str:
    indent, module = found.groups()
    dots = "." if module in OWN_MODULES else ".."
    return f"{indent}from {dots}{module} import"


def names_that_wait(tree: ast.Module) -> set[str]:
    """The functions that wait, directly or by another one."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    waiting = set(WAITING) | {"__enter__", "__exit__"}
    while True:
        more = {
            function.name
            for function in functions
            if function.name not in waiting
            and any(isinstance(node, ast.Call) and called(node) in waiting for node in ast.walk(function))
        }
        if not more:
            return waiting
        waiting |= more


def called(node: ast.Call) -> str | None:
    """The name of what is called: a function of the module, or a method of this object."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, (ast.Name, ast.Call)):
        owner = function.value
        is_own = isinstance(owner, ast.Name) and owner.id == "self"
        is_of_super = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"
        return function.attr if is_own or is_of_super else None
    return None


def insertions(tree: ast.Module, waiting: set[str]) -> list[tuple[int, int, bytes]]:
    """Where `async` and `await` go."""
    generators = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(node))
    }
    found: list[tuple[int, int, bytes]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in waiting:
            found.append((node.lineno, node.col_offset, b"async "))
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and called(node.iter) in generators:
            found.append((node.lineno, node.col_offset, b"async "))
        elif isinstance(node, ast.Call) and called(node) in waiting - generators:
            found.append((node.lineno, node.col_offset, b"await "))
    return found


def main() -> int:
    differ: list[str] = []
    for name in NAMES:
        path, text = PACKAGE / "aio" / name, made(name)
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            differ.append(str(path))
    if differ:
        print(f"not as make_aio.py makes them: {', '.join(differ)}; run `python3 {__file__}`", file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
