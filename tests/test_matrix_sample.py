"""Every shipped chip with a sample of models and schemes (bench_matrix.py runs all): an answer or a reason."""

from __future__ import annotations

import re

import pytest
from design_support import fractions_of_peak

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.catalog import shipped_systems
from npusim.mapping.deployment import deploy
from npusim.workload.step import decode

SAMPLE = [("qwen2.5-0.5b", "w4a16"), ("qwen2.5-0.5b", "w4a8"), ("gpt-oss-20b", "nvfp4"), ("kanana-2-30b-a3b", "fp8")]
TOKENS, ROUNDING = 1024, 1e-9


def reason_of(arch: str, model: str, scheme: str) -> str:
    """Why there is no answer, "" where there is one, which must not pass the chip's own peaks."""
    try:
        where = deploy(arch, model, precision=scheme, cards="auto", tokens=TOKENS)
        AnalyticEngine(where, 1).cost(decode([TOKENS]))
    except UserError as error:
        return str(error)
    reached = fractions_of_peak(where, decode([TOKENS]))
    assert 0.0 < max(reached.values()) <= 1.0 + ROUNDING, reached
    return ""


@pytest.mark.parametrize(("at", "arch"), list(enumerate(shipped_systems())))
def test_every_chip_answers_or_says_why(at: int, arch: str) -> None:
    """A reason is one line; schemes that it names are those that the chip multiplies. Chips share the sample."""
    for model, scheme in (SAMPLE[at % len(SAMPLE)], SAMPLE[(at + 1) % len(SAMPLE)]):
        reason = reason_of(arch, model, scheme)
        if not reason:
            continue
        assert "\n" not in reason and len(reason) < 400
        named = re.search(r"choose another precision \(([^)]+)\)", reason)
        if named is not None:
            assert scheme not in named[1].split(", ")
            assert not reason_of(arch, "qwen2.5-0.5b", named[1].split(", ")[0])
        else:
            assert re.search(r"does not fit on|fit beside|to hold|has no|give|give ", reason), reason
