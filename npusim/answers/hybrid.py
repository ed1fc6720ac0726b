"""A network on an event-driven and a dense unit together: the least time of every layer and of an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from npusim.answers.peaks import peak_ops_per_s
from npusim.bounds.event_driven import Ends, RateBound, binding, bounds_of, lowest
from npusim.errors import UserError
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.hardware.system import System
from npusim.workload.layered import OPERAND_BYTES, LayeredNetwork, NetworkLayer

_OPS_PER_MAC = 2
EVENT, DENSE = "event-driven", "dense"


def layered_answer(
    network: LayeredNetwork, unit: Neuromorphic, system: System, width: float | None, power_limit: float | None
) -> dict[str, Any]:
    """Layers with their unit, least time and bound, and the least time of an answer, as JSON has them.

    Event-driven layers: steps x synapses x activity over the lowest known bound. Dense layers, once: the longer of
    2 synapses over the dense peak and of the weights over the memory bandwidth of one chip (Williams, Waterman,
    Patterson 2009, Roofline). Raises UserError where the chip has no peak of the operand type.
    """
    peaks = peak_ops_per_s(system)
    if network.operand not in peaks:
        known = ", ".join(peaks)
        raise UserError("operand", network.operand, f"{system.name} has no peak in it; use one of: {known}")
    rows = []
    for layer in network.layers:
        place = network.unit_of(layer)
        bounds = bounds_of(unit, width, None if layer.fan_out is None else float(layer.fan_out), power_limit)
        if place == DENSE:
            rows.append(_dense(layer, system, peaks[network.operand], network.operand))
        elif place == EVENT:
            rows.append(_event(layer, network.steps, bounds))
        else:
            rows.append(_row(layer, None, None, None, [_missing(layer)]))
    return {"network": network.name, "steps": network.steps, "order": network.order, "layers": rows} | _total(
        network, rows
    )


def _event(layer: NetworkLayer, steps: int, bounds: Sequence[RateBound]) -> dict[str, Any]:
    left, least = lowest(bounds), binding(bounds)
    needs = list(dict.fromkeys(need for each in bounds for need in each.needs))
    if layer.activity is None or left is None or least is None:
        return _row(layer, EVENT, None, None, [*needs, *(["activity"] if layer.activity is None else [])])
    operations = steps * layer.synapses * layer.activity
    ends = (_seconds(operations, rate) for rate in (left.high, left.value, left.low))
    return _row(layer, EVENT, Ends(*ends), least.name, needs) | {"synaptic_ops": operations}


def _dense(layer: NetworkLayer, system: System, peak: float, operand: str) -> dict[str, Any]:
    arithmetic = _OPS_PER_MAC * layer.synapses / peak
    stored = layer.weights * OPERAND_BYTES[operand]
    memory = stored / system.chip.memory.peak_bandwidth_bytes_per_s
    bound = "arithmetic" if arithmetic >= memory else "memory bandwidth"
    return _row(layer, DENSE, Ends.exact(max(arithmetic, memory)), bound, [])


def _row(
    layer: NetworkLayer, unit: str | None, time: Ends | None, bound: str | None, needs: list[str]
) -> dict[str, Any]:
    return {
        "layer": layer.name,
        "unit": unit,
        "least_s": None if time is None else asdict(time),
        "bound": bound,
        "needs": needs,
    }


def _missing(layer: NetworkLayer) -> str:
    return "activity" if layer.activity is None else "unit"


def _total(network: LayeredNetwork, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Times of both units and of an answer; a least time is told only where that of every layer is."""
    open_layers = [row["layer"] for row in rows if row["least_s"] is None]
    needs = list(dict.fromkeys(need for row in rows for need in row["needs"]))
    parts = {
        name: {
            end: math.fsum(row["least_s"][end] for row in rows if row["unit"] == name and row["least_s"])
            for end in ("low", "value", "high")
        }
        for name in (EVENT, DENSE)
    }
    both = sum if network.order == "one after another" else max
    whole = None if open_layers else {end: both([part[end] for part in parts.values()]) for end in parts[EVENT]}
    return {
        "event_s": None if open_layers else parts[EVENT],
        "dense_s": None if open_layers else parts[DENSE],
        "least_s": whole,
        "binding": None if open_layers else max(parts, key=lambda name: parts[name]["value"]),
        "undecided_layers": open_layers,
        "needs": needs,
    }


def _seconds(operations: float, rate: float) -> float:
    return operations / rate if rate else math.inf
