"""Micro-benchmarks of one memory with PIM units: an operation, its costs, and the same memory without them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from npusim.errors import UserError
from npusim.hardware.dram_channel.measure import Traffic
from npusim.hardware.dram_channel.measure import measure_channel as measure_traffic
from npusim.hardware.draws import draw_pim
from npusim.hardware.machine import build_pim
from npusim.hardware.pim import Pim, PimRates
from npusim.kernels.pim import (
    PIM_COST_DTYPE,
    add_own_refreshes,
    busy_clocks,
    clock_period,
    host_stream_time,
    mac_interval,
    mode_switch,
    operation_time,
)
from npusim.kernels.pim_attention import decode_attention
from npusim.kernels.pim_energy import PIM_ENERGY_DTYPE, of_commands, operation_energy, stream_energy, total
from npusim.kernels.pim_linear import element_wise, matrix_vector
from npusim.serving.uncertainty import interval
from npusim.units import NS_PER_S, US_PER_S

_DRAWS = 256
"""Draws of all uncertain numbers behind an interval."""
STREAMS = {"add": 2, "mul": 2, "relu": 1}
"""Arrays that an element-wise operation reads."""
_BYTE = 8.0
_HALF = 4.0
_WORD = 16.0
_BITS = {
    "bf16": (_WORD, _WORD),
    "fp16": (_WORD, _WORD),
    "int8": (_BYTE, _BYTE),
    "w4a8": (_HALF, _BYTE),
    "w8a16": (_BYTE, _WORD),
    "w4a16": (_HALF, _WORD),
}
"""Bits of (weights or KV, activations) by the type's name."""
_CLOCKS = ("broadcast", "mac", "activation", "reduction", "mode", "barrier", "refresh")


@dataclass(frozen=True)
class Operation:
    """What a memory is asked to do.

    fill: writes its cost into a record of PIM_COST_DTYPE under the numbers of a machine; bytes: that the operation
    reads from the array once, and the host would too; shape: for the answer; bits: of a weight.
    """

    name: str
    dtype: str
    shape: dict[str, int]
    bytes: float
    bits: float
    fill: Callable[[Any, Any], None]


def gemv_commands(pim: Pim, outputs: int, inputs: int, batch: int = 1, dtype: str | None = None) -> Operation:
    """w[outputs, inputs] . x for `batch` vectors. Raises UserError where the units have no such operation or type."""
    if pim.unit.linear is None:
        raise UserError(pim.name, "unit.linear", "its units map no matrix-vector products; try npusim pim attention")
    _positive({"--out": outputs, "--in": inputs, "--batch": batch})
    name = _type(pim, dtype)
    weights, activations = _BITS[name]

    def fill(machine: Any, cost: Any) -> None:
        matrix_vector(float(outputs), float(inputs), float(batch), weights, activations, machine, cost)

    shape = {"outputs": outputs, "inputs": inputs, "batch": batch}
    return Operation("gemv", name, shape, outputs * inputs * weights / _BYTE, weights, fill)


def attention_commands(
    pim: Pim, heads: int, kv: int, head_dim: int, batch: int = 1, kv_heads: int | None = None, dtype: str | None = None
) -> Operation:
    """Decode attention of `batch` sequences of `kv` tokens. kv_heads: default one for each query head."""
    if pim.unit.attention is None:
        raise UserError(pim.name, "unit.attention", "its units map no attention; try npusim pim gemv")
    shared = heads if kv_heads is None else kv_heads
    _positive({"--heads": heads, "--kv": kv, "--head-dim": head_dim, "--batch": batch, "--kv-heads": shared})
    if heads % shared:
        raise UserError("--kv-heads", "", f"{shared} KV heads do not divide {heads} query heads")
    name = _type(pim, dtype)
    bits, activations = _BITS[name]

    def fill(machine: Any, cost: Any) -> None:
        decode_attention(float(batch * heads), float(head_dim), float(kv), bits, activations, machine, cost)

    shape = {"heads": heads, "kv_heads": shared, "kv": kv, "head_dim": head_dim, "batch": batch}
    read = 2.0 * batch * shared * kv * head_dim * bits / _BYTE
    return Operation("attention", name, shape, read, bits, fill)


def stream_commands(pim: Pim, what: str, elements: int, dtype: str | None = None) -> Operation:
    """An element-wise operation: add, mul or relu."""
    if pim.unit.streams is None:
        raise UserError(pim.name, "unit.streams", "its units map no element-wise operations")
    _positive({"--elements": elements})
    arrays = float(STREAMS[what])
    name = _type(pim, dtype)
    bits = _BITS[name][0]

    def fill(machine: Any, cost: Any) -> None:
        element_wise(float(elements), arrays, bits, machine, cost)

    return Operation(what, name, {"elements": elements}, (arrays + 1.0) * elements * bits / _BYTE, bits, fill)


def measure_pim(
    pim: Pim,
    operation: Operation,
    *,
    power_limit: bool = True,
    fence_s: float | None = None,
    interval_wanted: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of one operation that runs alone.

    fence_s: instead of the described fence; power_limit: False takes the stretch of MACs and the power budget away.
    cycles: command clocks in the memory; time_us, latency_ns: these, fences and the host's reading of the results;
    fraction_of_peak: of the all-bank rate, bytes counted once; speedup: over the host's stream of the same bytes from
    the same memory. With `interval_wanted` cycles, times, speedup and energies become {value, low, high} over the
    ranges of the numbers.
    """
    machines = build_pim(pim)
    _ask(machines, power_limit, fence_s)
    answer = _figures(pim, operation, machines[0])
    if not interval_wanted:
        return answer
    drawn = draw_pim(pim, _DRAWS, seed)
    _ask(drawn, power_limit, fence_s)
    figures = [_figures(pim, operation, machine) for machine in drawn]
    for name in ("cycles", "time_us", "latency_ns", "baseline_us", "speedup", "energy_j", "baseline_energy_j"):
        low, high = interval(answer[name], [each[name] for each in figures])
        answer[name] = {"value": answer[name], "low": low, "high": high}
    return answer


def cycles(operation: Operation, machine: Any) -> float:
    """Command clocks of an operation that begins alone, under the numbers of `machine`."""
    return float(_clocks(operation, machine)[1])


def _ask(machines: np.ndarray, power_limit: bool, fence_s: float | None) -> None:
    if not power_limit:
        machines["pim_unit_mac_power_factor"], machines["pim_controller_power_budget"] = 1.0, math.nan
    if fence_s is not None:
        machines["pim_unit_fence_time"] = fence_s


def _clocks(operation: Operation, machine: Any) -> tuple[Any, float]:
    cost = np.zeros(1, PIM_COST_DTYPE)[0]
    operation.fill(machine, cost)
    add_own_refreshes(cost, machine)
    return cost, busy_clocks(cost) + cost["refresh"]


def _figures(pim: Pim, operation: Operation, machine: Any) -> dict[str, Any]:
    cost, clocks = _clocks(operation, machine)
    period = clock_period(machine)
    time_s = operation_time(cost, machine)
    baseline_s = host_stream_time(operation.bytes, machine) * _formula_over_commands(pim)
    breakdown = {name: float(cost[name]) * period * US_PER_S for name in _CLOCKS}
    breakdown |= {"fence": float(cost["fence_s"]) * US_PER_S, "host_read": float(cost["host_read_s"]) * US_PER_S}
    energy, without = np.zeros(1, PIM_ENERGY_DTYPE)[0], np.zeros(1, PIM_ENERGY_DTYPE)[0]
    operation_energy(cost, operation.bits, machine, energy)
    stream_energy(operation.bytes, baseline_s, machine, without)
    peak = pim.all_bank_bandwidth_bytes_per_s
    return {
        "memory": pim.name,
        "silicon": pim.silicon,
        "op": operation.name,
        "dtype": operation.dtype,
        **operation.shape,
        "cycles": clocks,
        "clock_ns": period * NS_PER_S,
        "time_us": time_s * US_PER_S,
        "latency_ns": time_s * NS_PER_S,
        "bytes": operation.bytes,
        "all_bank_bytes_per_s": peak,
        "external_bytes_per_s": pim.external_bandwidth_bytes_per_s,
        "fraction_of_peak": operation.bytes / time_s / peak,
        "baseline_us": baseline_s * US_PER_S,
        "baseline": "the host reads the same bytes once from the same memory, command by command, refresh included",
        "speedup": baseline_s / time_s,
        "bound": max(breakdown, key=lambda name: breakdown[name]),
        "breakdown_us": breakdown,
        "controller": _controller(machine, cost, float(of_commands(energy)), time_s),
        "energy_j": float(total(energy)),
        "energy_breakdown_j": {name: float(energy[name]) for name in PIM_ENERGY_DTYPE.names or ()},
        "baseline_energy_j": float(total(without)),
    }


def _controller(machine: Any, cost: Any, commands_j: float, time_s: float) -> dict[str, float | None]:
    """What the controller adds: the switch of modes there and back, within it the wait for the host's requests, the
    interval of MACs as described and as power limits stretch it, the power of a channel's commands and its budget, and
    the fraction of the clocks that refresh takes."""
    period, clocks = clock_period(machine), busy_clocks(cost) + float(cost["refresh"])
    budget = float(machine["pim_controller_power_budget"])
    return {
        "mode_switch_us": mode_switch(machine) * period * US_PER_S,
        "host_drain_us": float(machine["pim_controller_host_drain"]) * period * US_PER_S,
        "mac_interval_cycles": float(machine["pim_unit_mac_interval"]),
        "limited_mac_interval_cycles": float(mac_interval(machine)),
        "channel_power_w": commands_j / time_s / float(machine["pim_channels"]),
        "channel_power_budget_w": None if math.isnan(budget) else budget,
        "refresh_fraction": float(cost["refresh"]) / clocks,
        "host_time_fraction_beside": float(machine["pim_sharing_beside_host"]),
    }


def _formula_over_commands(pim: Pim) -> float:
    """What the closed form of the host's stream takes over the same stream simulated command by command (>= or < 1).

    The simulation runs on the described timings; drawn ones follow the closed form.
    """
    dram = pim.memory
    timing = dram.timing
    lost = timing.tRFCab.value + timing.tRP.value + timing.tRCDRD.value
    formula = dram.burst_clocks / max(dram.burst_clocks, timing.tCCD_S.value) * (1.0 - lost / timing.tREFI.value)
    commands = measure_traffic(dram, Traffic())
    return formula / commands.fraction_of_peak


def _type(pim: Pim, dtype: str | None) -> str:
    rates = pim.unit.mac.rates
    known = [name for name in PimRates.model_fields if getattr(rates, name) is not None]
    name = known[0] if dtype is None else dtype.strip().lower()
    if name not in known:
        raise UserError("--dtype", name, f"the units of {pim.name} cannot multiply it; use one of: {', '.join(known)}")
    return name


def _positive(values: dict[str, int]) -> None:
    for option, value in values.items():
        if value < 1:
            raise UserError(option, "", f"{value} must be 1 or more")
