"""With NUMBA_DISABLE_JIT=1 the kernels are plain Python, to step through and to measure coverage of: same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from plain_figures import CHIPS, figures

from npusim.hardware.catalog import load_system
from npusim.hardware.units import KINDS

SCRIPT = Path(__file__).with_name("plain_figures.py")


def test_plain_python_gives_what_compiled_kernels_give() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr
    plain, compiled = json.loads(done.stdout), figures()
    assert plain.keys() == compiled.keys()
    assert {name for name in plain if plain[name] != compiled[name]} == set()


def test_every_kind_of_unit_is_among_them() -> None:
    assert {load_system(arch).chip.unit.kind for arch, _, _ in CHIPS} == set(KINDS)
