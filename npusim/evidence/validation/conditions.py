"""The conditions under which the runs and steps of a table were predicted: told by its rows, or assumed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from npusim.conditions.known import told_and_assumed
from npusim.evidence.measured.case import Case, Predictor
from npusim.evidence.measured.placement import Placement, measured_deployment

_ALWAYS = ("runtime", "precision", "cards")
"""Conditions that every row of a model on a chip tells, by itself or by the kind of its table."""
_WHERE_GIVEN = ("kv_precision", "tensor_parallel", "plan", "prefix_caching")


def table_conditions(cases: Iterable[Case]) -> dict[str, dict[str, list[Any]]]:
    """{told, assumed}: by condition every value of the rows; both empty where none is of a model on a chip."""
    found: dict[str, dict[str, set[Any]]] = {"told": defaultdict(set), "assumed": defaultdict(set)}
    for predictor in dict.fromkeys(case.predictor for case in cases):
        for how, name, value in _of(predictor):
            found[how][name].add(value)
    return {how: {name: sorted(values) for name, values in known.items()} for how, known in found.items()}


def _of(predictor: Predictor) -> Iterator[tuple[str, str, Any]]:
    placement = getattr(predictor, "placement", None)
    if not isinstance(placement, Placement):
        return
    alike = bool(getattr(predictor, "same_prompt", False))
    told = [*_ALWAYS, *(name for name in _WHERE_GIVEN if getattr(placement, name) is not None)]
    told += ["max_sequences"] if placement.sequences is not None else []
    told += ["prompts"] if alike or bool(getattr(predictor, "shared_tokens", False)) else []
    for how, values in told_and_assumed(measured_deployment(placement), told, alike).items():
        for name, value in values.items():
            yield how, name, value
