"""Finds the program ``tenure`` that was installed with the package."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def find() -> str:
    """The path of the program."""
    places = [*_places()]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    looked = ", ".join(map(str, places))
    raise FileNotFoundError(f"the program `tenure` is not where the package was installed ({looked}); install it again")


def _places() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts")) / "tenure"
    yield Path(sysconfig.get_path("scripts", f"{os.name}_user")) / "tenure"
    # `pip install --target` and `--prefix` put programs beside or above the package.
    package = Path(__file__).resolve().parent
    yield package.parent / "bin" / "tenure"
    for above in package.parents[1:4]:
        yield above / "bin" / "tenure"
