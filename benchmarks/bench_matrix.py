"""Every shipped chip with every shipped model in every precision scheme: an answer or a reason, and the CPU time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from npusim.answers.predict import predict_step
from npusim.errors import UserError
from npusim.hardware.catalog import shipped_systems
from npusim.mapping.deployment import deploy
from npusim.workload.catalog import list_models
from npusim.workload.precision import SCHEMES

CONTEXT, BATCH = 1024, 1


class Cell(NamedTuple):
    """A chip, model and scheme, with microseconds of a decode step, or the reason why there are none."""

    arch: str
    model: str
    precision: str
    time_us: float
    reason: str


def matrix(archs: list[str], models: list[str], schemes: list[str]) -> Iterator[Cell]:
    """A cell for each combination, a chip's one after the other."""
    for arch, model, precision in product(archs, models, schemes):
        try:
            where = deploy(arch, model, precision=precision, cards="auto", tokens=CONTEXT)
            answer = predict_step(where, "decode", BATCH, CONTEXT)
        except UserError as reason:
            yield Cell(arch, model, precision, 0.0, reason.message)
        else:
            yield Cell(arch, model, precision, float(answer["time_us"]), "")


def whole() -> list[Cell]:
    """All that is shipped."""
    names = [model.name for model in list_models()]
    return list(matrix(list(shipped_systems()), names, list(SCHEMES)))


def test_the_whole_matrix(benchmark: Any) -> None:
    """Two cores have five minutes."""
    for arch in shipped_systems():
        list(matrix([arch], ["qwen2.5-0.5b", "gpt-oss-20b", "deepseek-v3"], ["bf16"]))
    started = time.process_time()
    cells = benchmark.pedantic(whole, rounds=1, iterations=1)
    seconds = time.process_time() - started
    assert all((cell.time_us > 0.0) != bool(cell.reason) for cell in cells)
    benchmark.extra_info["cells"] = [float(len(cells)), ""]
    benchmark.extra_info["answered"] = [float(Counter(bool(cell.reason) for cell in cells)[False]), ""]
    benchmark.extra_info["CPU-seconds"] = [seconds, "600"]
