"""``python -m tenure``: the command line, which the package carries as a program."""

from __future__ import annotations

import os
import sys

from ._binary import find

if __name__ == "__main__":
    program = find()
    os.execv(program, ["tenure", *sys.argv[1:]])
