"""Bandwidth of one DRAM channel in a public command-level simulator. A row names its standard, not an architecture.

Random blocks and random writes are run with several seeds, since the table's rows are one draw each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from npusim.errors import UserError
from npusim.evidence.measured.case import Case, Numbers
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.component import DRAM
from npusim.evidence.measured.kind import TableKind, of_component
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.hardware.catalog import load_memory
from npusim.hardware.dram_channel.channel import READ_SLOTS, WRITE_SLOTS
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.units import NS_PER_S

_MAIN = "frac_of_peak"
SEEDS = 4
FEWEST_HITS = 10
"""Below so many row hits in a run, their rate is chance."""
_SCHEDULER = "FRFCFSRowHit"
_PATTERNS = {"seq": "seq", "rand": "random", "random": "random", "stride": "stride"}
_ALONE, _SHARED_BUS = "-1pc", "-ch2pc"
"""What a standard's name ends in: one pseudo-channel by itself, or two that share the command buses."""
_PER_BANK_ARTEFACT = (
    "per-bank refresh: while one bank waits for it, Ramulator 2.1 (c5b1c3a) issues no new read or write to any bank, "
    "which no standard asks for"
)


@dataclass(frozen=True)
class DramPredictor:
    """A stream of requests on one channel of a standard."""

    standard: str
    traffic: Traffic

    @property
    def arch(self) -> str:
        return DRAM + self.standard

    @property
    def runtime(self) -> str:
        """None drives it."""
        return ""

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """fraction of the peak, latency_ns, row_hit_rate."""
        dram = load_memory(self.standard)
        drawn = self.traffic.pattern == "random" or 0.0 < self.traffic.write_fraction < 1.0
        runs = [measure_channel(dram, replace(self.traffic, seed=seed + each)) for each in range(SEEDS if drawn else 1)]
        return {
            "fraction": float(np.mean([run.fraction_of_peak for run in runs])),
            "latency_ns": float(np.mean([run.latency_s for run in runs])) * NS_PER_S,
            "row_hit_rate": float(np.mean([run.row_hit_rate for run in runs])),
        }


def _cases(row: Row) -> list[Case]:
    """frac_of_peak, read latency and, where there are enough, row hits of every row whose standard is described."""
    predictor = _predictor(row)
    sigma = sources().spreads.simulator.value
    figures = [Figure(_MAIN, "fraction", sigma, main=True)]
    if row.text("avg_read_latency_ns") and row.number("avg_read_latency_ns"):
        figures.append(Figure("avg_read_latency_ns", "latency_ns", sigma))
    if row.text("row_hit_rate") and row.number("row_hit_rate") * predictor.traffic.requests >= FEWEST_HITS:
        figures.append(Figure("row_hit_rate", "row_hit_rate", sigma))
    names = ("standard", "pattern", "mapping", "refresh", "outstanding", "write_frac", "write_mode")
    return cases_of(
        row,
        figures,
        predictor,
        group=f"{predictor.standard} {predictor.traffic.pattern}",
        model=predictor.standard,
        dimensions={name: row.text(name) for name in names},
    )


def _predictor(row: Row) -> DramPredictor:
    standard = row.text("standard").lower()
    shared = standard.endswith(_SHARED_BUS)
    _require_the_same_controller(row)
    pattern = _PATTERNS.get(row.text("pattern"))
    if pattern is None:
        raise Unrepresentable(f"pattern '{row.text('pattern')}' is none of {', '.join(_PATTERNS)}")
    if row.text("refresh") == "pb":
        raise Unrepresentable(_PER_BANK_ARTEFACT)
    try:
        dram = load_memory(standard.removesuffix(_SHARED_BUS) + _ALONE if shared else standard)
        access = int(dram.organisation.access.value)
        traffic = Traffic(
            pattern=pattern,
            requests=row.count("n_requests"),
            outstanding=row.count("outstanding"),
            mapping=row.text("mapping"),
            refresh=row.text("refresh"),
            stride=row.size("stride_bursts") or 1,
            block=max(1, row.size("block_bytes") // access),
            write_fraction=row.number("write_frac"),
            write_mode=row.text("write_mode") or "inplace",
            pseudo_channels=int(dram.organisation.pseudo_channels.value) if shared else 1,
        )
    except UserError as error:
        raise Unrepresentable(str(error)) from error
    return DramPredictor(dram.name, traffic)


def _require_the_same_controller(row: Row) -> None:
    if row.text("scheduler") != _SCHEDULER:
        raise Unrepresentable(f"scheduler '{row.text('scheduler')}': only {_SCHEDULER} is described")
    slots = row.count("read_buf"), row.count("write_buf")
    if slots != (READ_SLOTS, WRITE_SLOTS):
        raise Unrepresentable(
            f"{slots[0]} and {slots[1]} places for requests: {READ_SLOTS} and {WRITE_SLOTS} are described"
        )


KIND = TableKind(
    name="dram_simulations",
    columns="standard mapping scheduler refresh read_buf write_buf outstanding pattern stride_bursts "
    "block_bytes write_frac write_mode n_requests frac_of_peak",
    main=_MAIN,
    telling=("standard", "pattern", "mapping"),
    cases=of_component(_cases),
    regime=lambda case: case.dimensions["pattern"],
)
