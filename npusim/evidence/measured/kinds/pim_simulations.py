"""Cycles of operations on PIM units in public simulators. A row names its memory; it needs no architecture."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.answers import pim_bench
from npusim.answers.pim_devices import device
from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.component import PIM
from npusim.evidence.measured.kind import TableKind, of_component
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.hardware.catalog import load_pim
from npusim.hardware.pim import Pim
from npusim.units import NS_PER_S

_MAIN = "pim_cycles"
_TYPES = {"FP16": "fp16", "BF16": "bf16", "INT8": "int8", "W4A8": "w4a8", "2B": "fp16", "1B": "int8"}
_CLOCK_TOLERANCE = 0.005


@dataclass(frozen=True)
class PimPredictor:
    """An operation on the units of one memory. shape: its sizes by the names of `pim_bench`, in order."""

    memory: str
    op: str
    dtype: str
    shape: tuple[tuple[str, int], ...]
    power_limited: bool

    @property
    def arch(self) -> str:
        return PIM + self.memory

    @property
    def runtime(self) -> str:
        """None drives it."""
        return ""

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """cycles: command clocks."""
        machine = numbers.machine.copy()
        if not self.power_limited:
            machine["pim_unit_mac_power_factor"] = 1.0
        return {"cycles": pim_bench.cycles(self.operation(load_pim(self.memory)), machine[0])}

    def operation(self, pim: Pim) -> pim_bench.Operation:
        """The operation. Raises UserError where the memory's units do not have it."""
        sizes = dict(self.shape)
        if self.op == "gemv":
            return pim_bench.gemv_commands(pim, sizes["out_dim"], sizes["in_dim"], sizes["batch"], self.dtype)
        if self.op == "attention":
            return pim_bench.attention_commands(
                pim, sizes["heads"], sizes["kv_len"], sizes["head_dim"], dtype=self.dtype
            )
        return pim_bench.stream_commands(pim, self.op, sizes["out_dim"], self.dtype)


def _cases(row: Row) -> list[Case]:
    """pim_cycles of every row whose memory is described."""
    predictor = _predictor(row)
    figure = Figure(_MAIN, "cycles", sources().spreads.simulator.value, main=True)
    names = ("memory_id", "op", "placement", "power_limited", "dtype")
    return cases_of(
        row,
        (figure,),
        predictor,
        group=f"{row.text('memory_id')} {predictor.op}",
        model=predictor.op,
        dimensions={name: row.text(name) for name in names},
    )


def _predictor(row: Row) -> PimPredictor:
    op, dtype = row.text("op"), _TYPES.get(row.text("dtype"))
    if dtype is None:
        raise Unrepresentable(f"dtype '{row.text('dtype')}' is none of {', '.join(_TYPES)}")
    columns = {"gemv": ("out_dim", "in_dim", "batch"), "attention": ("heads", "kv_len", "head_dim")}
    if op not in columns and op not in pim_bench.STREAMS:
        raise Unrepresentable(f"op '{op}' is not described")
    shape = tuple((name, row.count(name)) for name in columns.get(op, ("out_dim",)))
    limited = row.text("power_limited").lower() != "false"
    try:
        pim = device(row.text("memory_id"), row.text("placement") or None)
        predictor = PimPredictor(pim.name, op, dtype, shape, limited)
        predictor.operation(pim)
    except UserError as error:
        raise Unrepresentable(str(error)) from error
    _require_same_memory(row, pim)
    return predictor


def _require_same_memory(row: Row, pim: Pim) -> None:
    channels, clock_ns = row.count("channels"), row.number("clock_ns")
    whole = pim.channels.value / pim.memory.organisation.pseudo_channels.value
    if channels not in (pim.channels.value, whole):
        raise Unrepresentable(f"{channels} channels, but {pim.name} is described with {pim.channels.value:g}")
    if abs(clock_ns / (pim.memory.clock_period_s * NS_PER_S) - 1.0) > _CLOCK_TOLERANCE:
        raise Unrepresentable(f"a clock of {clock_ns:g} ns is not that of {pim.name}")


KIND = TableKind(
    name="pim_simulations",
    columns="memory_id op out_dim in_dim batch heads kv_len head_dim placement power_limited dtype channels "
    "clock_ns pim_cycles",
    main=_MAIN,
    telling=("memory_id", "op", "placement"),
    cases=of_component(_cases),
    regime=lambda case: case.dimensions["op"],
)
