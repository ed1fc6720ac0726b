"""Where a runtime only supposes how prompts and decode steps take turns, anything towards prompts first holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npusim.evidence.measured.placement import Placement
from npusim.evidence.predictors.run import RunPredictor
from npusim.lab.check.judge import Predicted
from npusim.lab.check.predictions import Predictions

RUN = RunPredictor(Placement("rngd", "furiosa-llm-2026.3", "llama-3.1-8b", "bf16"), 1024, 64, 32, 64)
TTFT = "ttft_ms_p50"


def test_prompts_first_is_allowed_where_turns_are_supposed() -> None:
    """The median of a burst that is computed before any decode step: half of all prompts."""
    found = Predictions(0)
    one = found.outcome(replace(RUN, users=1, requests=1)).figures[TTFT].value
    supposed = found.outcome(RUN).figures[TTFT]
    assert supposed.value < 0.5 * 32 * one < supposed.high
    assert supposed.other is not None and supposed.other.value > supposed.value


def test_where_the_policy_is_known_nothing_else_is_allowed() -> None:
    known = RunPredictor(Placement("h200", "vllm-0.24", "llama-3.1-8b", "bf16"), 1024, 16, 8, 8)
    assert Predictions(0).outcome(known).figures[TTFT].other is None


@pytest.mark.parametrize("widths", [(0.1, 0.2, 0.3), (0.5, 0.1, 0.1)])
def test_a_prediction_reaches_towards_each_other_one(widths: tuple[float, float, float]) -> None:
    parts = [Predicted(value, width) for value, width in zip((10.0, 40.0, 2.0), widths, strict=True)]
    joined = parts[0].or_towards(parts[1]).or_towards(None).or_towards(parts[2])
    assert joined.value == 10.0
    assert joined.low == min(each.low for each in parts)
    assert joined.high == max(each.high for each in parts)
