"""A kernel of a GPU, a systolic array or an LPU: what each of its waves streams and computes."""

from __future__ import annotations

from typing import Any, NamedTuple

from npusim.engine.event.command import CONTRACTION, VECTOR
from npusim.engine.event.setting import StepSetting
from npusim.kernels.memory import stream_bandwidth


class _Part(NamedTuple):
    """`amount` bytes that pass in no less than `seconds`, from memory or through the cache alone."""

    what: str
    amount: float
    seconds: float
    from_memory: bool


class Kernel(NamedTuple):
    """Of one wave: what is streamed, one after the other, beside the arithmetic (resource, seconds)."""

    streams: tuple[_Part, ...]
    arithmetic: tuple[tuple[str, float], ...]


def kernel_of(row: Any, cost: Any, setting: StepSetting, waves: int) -> Kernel:
    """The kernel of a row with these costs (OPERATOR_COST_DTYPE), cut in `waves` equal waves."""
    cached_s, cached = _cached(row, setting)
    memory_s = max(0.0, float(cost["memory_s"]) - cached_s)
    rate = float(stream_bandwidth(setting.machine, 1.0))
    wanted = float(row["weight_bytes"] + row["kv_read_bytes"] + row["kv_write_bytes"])
    # What passes memory takes at least its bytes at the stream rate, activations that no cache holds included.
    amount = min(max(wanted, float(row["activation_bytes"]) - cached), memory_s * rate)
    parts = (
        _Part("stream", amount / waves, memory_s / waves, True),
        _Part("activations", cached / waves, min(cached_s, float(cost["memory_s"])) / waves, False),
    )
    arithmetic = (
        (CONTRACTION, float(cost["contraction_s"]) / waves / setting.clock),
        (VECTOR, float(cost["vector_s"]) / waves / setting.clock),
    )
    return Kernel(
        tuple(part for part in parts if part.seconds > 0.0 and part.amount > 0.0),
        tuple(work for work in arithmetic if work[1] > 0.0),
    )


def _cached(row: Any, setting: StepSetting) -> tuple[float, float]:
    """Seconds and bytes of activations that a cache holds."""
    machine, moved = setting.machine, float(row["activation_bytes"])
    if "gpu_l2_capacity" not in machine.dtype.names or moved > machine["gpu_l2_capacity"]:
        return 0.0, 0.0
    return moved / float(machine["gpu_l2_bandwidth"]), moved
