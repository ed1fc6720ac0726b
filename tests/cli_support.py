"""Calling the command line in this process and in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from npusim.cli.main import main

STEP = ("step", "rngd", "llama-3.1-8b", "--phase", "decode", "--batch", "2", "--context", "256")
RUN = ("run", "rngd", "llama-3.1-8b", "--isl", "64", "--osl", "8", "--concurrency", "2")


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        answer: dict[str, Any] = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        return answer


def tell(*words: str | Path) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Told(code, out.getvalue(), err.getvalue())


def process(*words: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "npusim", *words]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, **options)


def mistake(*words: str | Path) -> str:
    """The one line that a mistake is told in."""
    told = tell(*words)
    assert (told.code, told.out) == (2, ""), told
    lines = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in told.err
    return lines[0]
