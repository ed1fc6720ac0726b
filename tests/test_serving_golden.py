"""Serving results kept with their conditions: a change of any figure is seen, and is either meant or a mistake.

They are uncalibrated, so that a change of a description or a formula shows and a new fit does not.
NPUSIM_REWRITE_GOLDEN=1 writes the file anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from npusim.answers.predict import predict_run
from npusim.mapping.deployment import Deployment

GOLDEN = Path(__file__).parent / "golden" / "serving.json"
REWRITE = "NPUSIM_REWRITE_GOLDEN"
NOTE = (
    "Figures of serving runs under the conditions beside them; seed 1, uncalibrated; latencies in ms, rates per second."
)
Deploy = Callable[..., Deployment]
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"arch": "rngd", "model": "llama-3.1-8b", "isl": 128, "osl": 128, "concurrency": 1},
    {"arch": "rngd", "model": "llama-3.1-8b", "isl": 1024, "osl": 256, "concurrency": 32, "arrival": "burst"},
    {"arch": "rngd", "model": "llama-3.1-8b", "isl": 1024, "osl": 64, "concurrency": 8, "arrival": "poisson:2"},
    {"arch": "rngd", "model": "llama-3.1-8b", "isl": 1500, "osl": 32, "concurrency": 4, "shared_prefix": 1000},
    {
        "arch": "rngd", "model": "llama-3.1-8b", "runtime": "furiosa-llm-2026.2", "precision": "fp8",
        "isl": 512, "osl": 128, "concurrency": 16,
    },
    {"arch": "rngd", "model": "llama-3.3-70b", "cards": 4, "isl": 512, "osl": 32, "concurrency": 8},
    {"arch": "rngd", "model": "exaone-4.0-32b", "cards": 2, "isl": 6000, "osl": 32, "concurrency": 2},
    {"arch": "rngd-plus", "model": "qwen3-32b", "precision": "fp8", "isl": 1024, "osl": 64, "concurrency": 16},
    {"arch": "h200", "model": "llama-3.1-8b", "isl": 1024, "osl": 256, "concurrency": 64, "arrival": "burst"},
    {
        "arch": "h200", "model": "llama-3.1-8b", "runtime": "cuda-graph-engine",
        "isl": 1024, "osl": 128, "concurrency": 32,
    },
    {"arch": "h100", "model": "qwen3-8b", "precision": "fp8", "isl": 2048, "osl": 64, "concurrency": 24},
    {"arch": "h200", "model": "llama-3.1-8b", "isl": 20000, "osl": 400, "concurrency": 64, "requests": 70},
)  # fmt: skip
_DEPLOYMENT = ("runtime", "precision", "cards")
RELATIVE = 1e-9


def _label(index: int) -> str:
    return "-".join(str(value) for value in CONDITIONS[index].values())


def _predict(condition: dict[str, Any], deployed: Deploy) -> dict[str, Any]:
    options = dict(condition)
    arch, model = options.pop("arch"), options.pop("model")
    chosen = {name: options.pop(name) for name in _DEPLOYMENT if name in options}
    found = predict_run(deployed(arch, model, **chosen, uncalibrated=True), **options, seed=1)
    # How the joules are split follows from tables that are no prediction of a run.
    return {name: figure for name, figure in found.items() if not name.startswith("energy_")}


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.fixture(scope="module")
def kept(deployed: Deploy) -> list[dict[str, Any]]:
    """The entries of the file, written anew first where the environment asks for it."""
    if os.environ.get(REWRITE):
        runs = [{"condition": each, "figures": dict(_flat(_predict(each, deployed)))} for each in CONDITIONS]
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps({"note": NOTE, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    entries: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["runs"]
    return entries


def test_every_condition_is_kept(kept: list[dict[str, Any]]) -> None:
    assert [entry["condition"] for entry in kept] == list(CONDITIONS)


@pytest.mark.parametrize("index", range(len(CONDITIONS)), ids=_label)
def test_figures_are_those_that_are_kept(deployed: Deploy, kept: list[dict[str, Any]], index: int) -> None:
    expected = kept[index]["figures"]
    found = dict(_flat(_predict(CONDITIONS[index], deployed)))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=RELATIVE), name
        else:
            assert found[name] == value, name
