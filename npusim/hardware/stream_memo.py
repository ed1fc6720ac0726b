"""Stream efficiencies that were computed before: shipped ones, and the user's own beside the compiled kernels."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numba

from npusim import inputs
from npusim.cache_folder import keep
from npusim.errors import UserError
from npusim.hardware.address_map import AddressMap
from npusim.hardware.data import data_root
from npusim.hardware.dram import Dram
from npusim.hardware.stream import Stream, placed_map, stream_efficiency
from npusim.inputs.json_text import read_json
from npusim.ledger import Quantity, provenances

_TOLERANCE = 0.005
"""Part by which the rate of a channel may differ from that of its DRAM standard, for rounding."""
_DIGITS = 6
_DERIVED = "long streams of "
_SHAPES_OF_STACKS = ("organisation.stack_channels",)
"""Numbers of a standard that say what fits together, not how fast a channel is."""


def shipped_memo() -> Path:
    """The file of the shipped ones."""
    return data_root("arch_configs") / "memories" / "streams.json"


def derived_stream(
    dram: Dram, mapping: AddressMap, access_unit: float, channel_bandwidth: float | None
) -> dict[str, Any]:
    """The provenance of the efficiency of long aligned streams; access_unit in B, channel_bandwidth in B/s.

    channel_bandwidth: None where a channel runs at another rate than the standard's (a sweep), with the same part lost.
    Raises ValueError where the channels' rate is not that of the DRAM standard.
    """
    unit = int(access_unit)
    if channel_bandwidth is not None:
        _check_channel(dram, mapping, channel_bandwidth)
    return {
        "value": remembered_stream(dram, mapping, unit),
        "kind": "derived",
        "source": f"{_DERIVED}{unit} B units on {dram.name} under the address map, command by command",
    }


def is_derived_stream(given: Any) -> bool:
    """Whether a stream efficiency is one that `derived_stream` made."""
    return isinstance(given, Quantity) and given.kind == "derived" and given.source.startswith(_DERIVED)


def remembered_stream(dram: Dram, mapping: AddressMap, unit: int) -> float:
    """The efficiency of a contiguous stream, from the memo or computed now and kept."""
    key = memo_key(dram, mapping, unit)
    for known in (_shipped(), _own()):
        if key in known:
            return known[key]
    value = round(stream_efficiency(dram, mapping, unit, Stream.contiguous(unit)), _DIGITS)
    _keep(key, value)
    return value


def memo_key(dram: Dram, mapping: AddressMap, unit: int) -> str:
    """A name for everything that the efficiency follows from."""
    numbers = {item.path: item.quantity.value for item in provenances("", dram) if not item.path.startswith("energy")}
    bits = {
        name: [sorted(parts) for parts in getattr(mapping, name)]
        for name in AddressMap.model_fields
        if name != "source"
    }
    placed = placed_map(mapping)
    turns = [placed.every, placed.piece] if placed.rule == "modulo" else []
    numbers = {path: value for path, value in numbers.items() if path not in _SHAPES_OF_STACKS}
    told = json.dumps([dram.name, dram.commands.row_bus, numbers, bits, unit, *turns], sort_keys=True)
    return f"{dram.name} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _check_channel(dram: Dram, mapping: AddressMap, channel_bandwidth: float) -> None:
    peak = dram.peak_bandwidth.value * (1 << len(mapping.pseudo_channel))
    if abs(channel_bandwidth / peak - 1.0) > _TOLERANCE:
        raise ValueError(
            f"channel_bandwidth {channel_bandwidth / 1e9:g} GB/s is not that of {dram.name}, {peak / 1e9:g} GB/s with "
            f"{1 << len(mapping.pseudo_channel)} pseudo-channels; mend one of them"
        )


def _own_memo() -> Path:
    """Beside the compiled kernels, whose folder is named after their sources: a changed model begins anew."""
    return Path(str(numba.config.CACHE_DIR)) / "streams.json"  # type: ignore[attr-defined]


@inputs.remembered
def _shipped() -> dict[str, float]:
    known: dict[str, float] = read_json(shipped_memo())
    return known


@cache
def _own() -> dict[str, float]:
    """What this user's processes worked out: no input, since the same comes out again."""
    try:
        with inputs.aside():
            known = read_json(_own_memo()) if inputs.is_file(_own_memo()) else {}
    except UserError:
        return {}
    return {key: value for key, value in known.items() if isinstance(value, float)} if isinstance(known, dict) else {}


def _keep(key: str, value: float) -> None:
    """Add to the user's memo; where its folder cannot be written, the next process computes it again."""
    keep(_own_memo(), json.dumps({**_own(), key: value}, indent=2) + "\n")
    _own.cache_clear()
