"""What a channel delivers under a stream of requests, which of its limits binds, and the energy of its commands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from npusim.errors import UserError
from npusim.hardware.dram import Dram
from npusim.hardware.dram_channel.addresses import MAPPINGS, address_bits, banks_and_rows, named_map
from npusim.hardware.dram_channel.channel import READ_SLOTS, run_channel
from npusim.hardware.dram_channel.state import COUNT_DTYPE, FAW_WINDOW
from npusim.hardware.dram_channel.timing import REFRESH_MODES, REFRESH_PER_BANK, build_timing, tick_s
from npusim.hardware.dram_channel.traffic import PATTERNS, WRITE_MODES, request_stream

_WARM_UP = 5
"""One request in so many more is run before the measurement."""
_REMEMBERED = 4096
"""Measurements that are kept."""
_CLEARLY = 1.05
"""Factor by which outstanding requests must be in use more than any other limit to be named instead."""
OUTSTANDING = "outstanding requests"


@dataclass(frozen=True)
class Traffic:
    """Requests of one burst each. stride, block: in bursts.

    pseudo_channels: of those that share command buses, how many the stream is spread over.
    """

    pattern: str = "seq"
    requests: int = 12_000
    """Number of requests that are measured."""
    outstanding: int = 128
    """Number of requests that are unanswered at once."""
    mapping: str = "bgint"
    refresh: str = "ab"
    stride: int = 1
    block: int = 1
    write_fraction: float = 0.0
    write_mode: str = "inplace"
    pseudo_channels: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for key, value, known in (
            ("pattern", self.pattern, PATTERNS),
            ("mapping", self.mapping, MAPPINGS),
            ("refresh", self.refresh, tuple(REFRESH_MODES)),
            ("write_mode", self.write_mode, WRITE_MODES),
        ):
            if value not in known:
                raise UserError("traffic", key, f"'{value}' is not known; use one of: {', '.join(known)}")
        for key in ("requests", "outstanding", "stride", "block", "pseudo_channels"):
            if getattr(self, key) < 1:
                raise UserError("traffic", key, f"{getattr(self, key)} must be 1 or more")
        if self.requests <= self.outstanding:
            raise UserError(
                "traffic", "requests", f"{self.requests} must be more than the {self.outstanding} outstanding"
            )
        if not 0.0 <= self.write_fraction <= 1.0:
            raise UserError("traffic", "write_fraction", f"{self.write_fraction} must lie between 0 and 1")


@dataclass(frozen=True)
class ChannelRun:
    """What was measured: payload rate, its part of the peak, mean read latency from hand-over to data (NaN without
    reads), part of the requests that found their row open; use: fraction of the time for which each limit was in use;
    bound: the one that binds; energy_j of the measured commands by cause; elapsed_s; commands issued by kind."""

    achieved_bytes_per_s: float
    fraction_of_peak: float
    latency_s: float
    row_hit_rate: float
    bound: str
    use: dict[str, float]
    energy_j: dict[str, float]
    elapsed_s: float
    payload_bytes: float
    commands: dict[str, int]


@lru_cache(_REMEMBERED)
def measure_channel(dram: Dram, traffic: Traffic) -> ChannelRun:
    """Run `traffic` on one channel of `dram`. Raises UserError where the standard lacks what the traffic asks for."""
    timing = _checked_timing(dram, traffic)
    masks = named_map(traffic.mapping, timing)
    return run_mapped(dram, traffic, timing, masks)


def run_mapped(dram: Dram, traffic: Traffic, timing: np.void, masks: np.ndarray) -> ChannelRun:
    """As `measure`, under an address map of its own."""
    warm = traffic.requests // _WARM_UP
    accesses, writes = request_stream(
        traffic.pattern,
        traffic.requests + warm,
        address_bits(masks),
        stride=traffic.stride,
        block=traffic.block,
        write_fraction=traffic.write_fraction,
        write_mode=traffic.write_mode,
        seed=traffic.seed,
    )
    counts = np.zeros(1, COUNT_DTYPE)
    banks, rows = banks_and_rows(accesses, masks, timing)
    ticks, requests, bank_share, group_share = run_channel(
        banks, rows, writes, timing, traffic.outstanding, warm, counts
    )
    return _summary(dram, traffic, timing, counts[0], ticks, requests, bank_share, group_share)


def _checked_timing(dram: Dram, traffic: Traffic) -> np.void:
    most = int(dram.organisation.pseudo_channels.value)
    if traffic.pseudo_channels > most:
        raise UserError(
            dram.name, "pseudo_channels", f"{traffic.pseudo_channels} is more than the {most} that share buses"
        )
    mode = REFRESH_MODES[traffic.refresh]
    if mode == REFRESH_PER_BANK and dram.timing.tRFCpb is None:
        raise UserError(dram.name, "refresh", "the standard's tRFCpb is not known; use ab or off")
    return build_timing(dram, mode, traffic.pseudo_channels)


def _summary(
    dram: Dram,
    traffic: Traffic,
    timing: np.void,
    counts: np.void,
    ticks: int,
    requests: int,
    bank_share: float,
    group_share: float,
) -> ChannelRun:
    elapsed = ticks * tick_s(dram)
    payload = requests * dram.organisation.access.value
    met = int(counts["row_hits"] + counts["row_misses"] + counts["row_conflicts"])
    reads = int(counts["read"])
    latency = float(counts["read_latency"]) / reads if reads else float("nan")
    use = _use(timing, counts, ticks, bank_share, group_share)
    if reads and traffic.outstanding < READ_SLOTS:
        use[OUTSTANDING] = min(1.0, requests * (latency + 1) / ticks / traffic.outstanding)
    return ChannelRun(
        achieved_bytes_per_s=payload / elapsed,
        fraction_of_peak=requests * int(timing["tBL"]) / (ticks * traffic.pseudo_channels),
        latency_s=latency * tick_s(dram),
        row_hit_rate=float(counts["row_hits"]) / met if met else float("nan"),
        bound=_binding(use),
        use=use,
        energy_j=_energy(dram, traffic, counts, elapsed),
        elapsed_s=elapsed,
        payload_bytes=payload,
        commands={name: int(counts[name]) for name in ("activate", "read", "write", "precharge", "refresh")},
    )


def _use(timing: np.void, counts: np.void, ticks: int, bank_share: float, group_share: float) -> dict[str, float]:
    """Fraction of the time for which each limit was in use by the commands that were issued."""
    channels = int(timing["pseudo_channels"])
    columns = int(counts["read"] + counts["write"])
    activations = int(counts["activate"])
    turn = int(timing["tRTW"] + timing["CWL"] + timing["tWTR_S"] - timing["tBL"]) / 2
    taken = {
        "data pins": columns * int(timing["tBL"]) / channels,
        "tCCD_L (one bank group)": columns * group_share * int(timing["tCCD_L"]),
        "tFAW": activations * int(timing["tFAW"]) / (FAW_WINDOW * channels),
        "tRRD": activations * int(timing["tRRD_S"]) / channels,
        "tRC (one bank)": activations * bank_share * int(timing["tRC"]),
        "read-write turnaround": int(counts["turns"]) * turn,
        "command bus": _command_ticks(timing, counts),
        "refresh": _refresh_ticks(timing, counts),
    }
    return {name: float(value) / ticks for name, value in taken.items()}


def _refresh_ticks(timing: np.void, counts: np.void) -> float:
    """Ticks for which a bank was refreshed, all-bank or by itself, on average over the banks."""
    ranks = int(timing["pseudo_channels"] * timing["ranks"])
    if timing["refresh"] == REFRESH_PER_BANK:
        banks = ranks * int(timing["groups"] * timing["banks_per_group"])
        return int(counts["refresh"]) * int(timing["tRFCpb"]) / banks
    return int(counts["refresh"]) * int(timing["tRFCab"]) / ranks


def _command_ticks(timing: np.void, counts: np.void) -> int:
    """Ticks for which the busier command bus was occupied."""
    phases = 2 if timing["two_phase"] else 1
    rows = int(counts["activate"]) * phases * int(timing["activate"]) + int(counts["precharge"]) * int(
        timing["command"]
    )
    columns = int(counts["read"] + counts["write"] + counts["write_clock"]) * int(timing["command"])
    return max(rows, columns) if timing["separate_row_bus"] else rows + columns


def _binding(use: dict[str, float]) -> str:
    """The limit that was in use most; the number of outstanding requests only where that is clearly more."""
    limits = {name: part for name, part in use.items() if name != OUTSTANDING}
    most = max(limits, key=lambda name: limits[name])
    return OUTSTANDING if use.get(OUTSTANDING, 0.0) > limits[most] * _CLEARLY else most


def _energy(dram: Dram, traffic: Traffic, counts: np.void, elapsed_s: float) -> dict[str, float]:
    """Joules of the commands of the measured time, and of the channel at rest for as long."""
    energy, access = dram.energy, dram.organisation.access.value
    banks = dram.organisation.bank_groups.value * dram.organisation.banks_per_group.value
    share = banks if traffic.refresh == "pb" else 1.0
    return {
        "activate": int(counts["activate"]) * energy.activate.value,
        "read": int(counts["read"]) * access * energy.read.value,
        "write": int(counts["write"]) * access * energy.write.value,
        "io": int(counts["read"] + counts["write"]) * access * energy.io.value,
        "refresh": int(counts["refresh"]) * energy.refresh.value / share,
        "background": elapsed_s * energy.background.value * traffic.pseudo_channels,
    }
