"""Published kernels in loops: what the host launches bounds them from below; the sensor shows a part of the power."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.operator_rows import linear, vector
from npusim.evidence.predictors.loop import LoopPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.hardware.catalog import load_system
from npusim.mapping.optable import CAST

BLOCK_FP8 = (("linear", "block-fp8"),)


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    given = Numbers.of(load_system("h200", uncalibrated=True))
    launches = {"few": 50e-6, "many": 70e-6, "align": 8e-6}
    told = {f"eager_launch.{name}": value for name, value in launches.items()}
    return replace(given, observation={**given.observation, **told, "loop_power_seen": 1.0})


def _operators(m: int, n: int, k: int) -> tuple[OperatorPredictor, OperatorPredictor]:
    fields = vector(CAST, m, k, 1.5 * k), linear("h200", "fp8", m, n, k)
    cast, product = (
        OperatorPredictor("h200", GPU_RUNTIME, each, False, "loop_settled", None, BLOCK_FP8) for each in fields
    )
    return cast, product


@pytest.mark.parametrize(("rows", "launch_us"), [(1, 50.0), (31, 50.0), (32, 70.0), (33, 78.0), (4096, 70.0)])
def test_small_products_take_what_the_host_takes_to_launch_them(numbers: Numbers, rows: int, launch_us: float) -> None:
    assert LoopPredictor(_operators(rows, 256, 256), rows).predict(numbers, 0)["us"] == pytest.approx(launch_us)


def test_large_products_hide_their_launch(numbers: Numbers) -> None:
    operators = _operators(4096, 8192, 8192)
    alone = sum(operator.predict(numbers, 0)["us"] for operator in operators)
    assert alone > 100.0
    for rows in (None, 4096):
        assert LoopPredictor(operators, rows).predict(numbers, 0)["us"] == pytest.approx(alone)


def test_a_waiting_chip_draws_less_than_a_busy_one(numbers: Numbers) -> None:
    operators = _operators(64, 4096, 4096)
    busy, waiting = (LoopPredictor(operators, rows).predict(numbers, 0) for rows in (None, 64))
    static_w = float(numbers.machine["power_idle"][0] + numbers.machine["power_loaded_static"][0])
    assert static_w < waiting["power_w"] < busy["power_w"]
    beyond = (busy["power_w"] - static_w) * busy["us"]
    assert (waiting["power_w"] - static_w) * waiting["us"] == pytest.approx(beyond)


def test_the_sensor_shows_a_part_of_what_lies_above_idle(numbers: Numbers) -> None:
    predictor = LoopPredictor(_operators(4096, 8192, 8192))
    idle_w = float(numbers.machine["power_idle"][0])
    half = replace(numbers, observation={**numbers.observation, "loop_power_seen": 0.5})
    seen = [predictor.predict(each, 0)["power_w"] - idle_w for each in (numbers, half)]
    assert seen[1] == pytest.approx(0.5 * seen[0])
