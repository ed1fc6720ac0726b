"""Stream rates of a whole memory: RNGD's from its DRAM standard and address map, and what its alignment rules cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from acting_support import described

from npusim.errors import UserError
from npusim.hardware.address_map import parse_bits
from npusim.hardware.catalog import load_memory, load_system, system_path
from npusim.hardware.stream import Stream, stream_efficiency
from npusim.hardware.stream_memo import memo_key, remembered_stream
from npusim.mapping.deployment import deploy

UNIT = 256


def _part(stream: Stream) -> float:
    mapping = load_system("rngd").chip.memory.address_map
    assert mapping is not None
    return stream_efficiency(load_memory("hbm3-6000"), mapping, UNIT, stream)


def test_rngds_stream_rate_is_that_of_its_memory() -> None:
    """Eight PEs draw 1,297-1,396 GB/s (swsok/heteropilot collective_probe.json); nothing here was fitted to it."""
    memory = load_system("rngd").chip.memory
    assert memory.stream_efficiency.kind == "derived"
    assert memory.stream_efficiency.value == pytest.approx(_part(Stream.contiguous(UNIT)), abs=1e-6)
    assert 1_297e9 < memory.stream_efficiency.value * memory.peak_bandwidth_bytes_per_s < 1_396e9


@pytest.mark.parametrize(
    ("stream", "least", "most"),
    [
        (Stream(run=256, pitch=256, offset=128), 280 / 663, 394 / 618),
        (Stream(run=128, pitch=256), 308 / 663, 319 / 618),
        (Stream(run=256, pitch=512), 0.49, 0.51),
    ],
    ids=["misaligned", "half a unit", "one of two stacks"],
)
def test_alignment_costs_what_was_measured(stream: Stream, least: float, most: float) -> None:
    """Rates in bytes/cycle of hand-written kernels on RNGD: aligned 618-663, misaligned 280-394, 128 B 308-319."""
    assert least <= _part(stream) / _part(Stream.contiguous(UNIT)) <= most


def test_longer_misaligned_runs_lose_less() -> None:
    parts = [_part(Stream(run=run, pitch=run, offset=64)) for run in (256, 512, 1024, 2048)]
    assert parts == sorted(parts)


def test_the_shipped_memo_is_what_the_model_says() -> None:
    memory, dram = load_system("rngd").chip.memory, load_memory("hbm3-6000")
    assert memory.address_map is not None
    found = stream_efficiency(dram, memory.address_map, UNIT, Stream.contiguous(UNIT))
    assert remembered_stream(dram, memory.address_map, UNIT) == pytest.approx(found, abs=1e-6)
    assert memo_key(dram, memory.address_map, UNIT) != memo_key(dram, memory.address_map, 2 * UNIT)


def test_a_number_in_the_description_goes_before_the_model(tmp_path: Path) -> None:
    text = system_path("rngd").read_text(encoding="utf-8")
    own = '    stream_efficiency: {value: 0.5, kind: measured, source: "mine"}\n'
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("    dram: hbm3-6000\n", f"    dram: hbm3-6000\n{own}"), encoding="utf-8")
    assert load_system(str(path), uncalibrated=True).chip.memory.stream_efficiency.value == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dram: hbm3-6000", "dram: hbm3-6400", "channel_bandwidth 48 GB/s is not that of hbm3-6400, 51.2 GB/s"),
        ("dram: hbm3-6000", "dram: hbm9", "no such file; known: .*hbm3-6000"),
        ("stack: bit 8", "stack: eight", "'eight' names no address bits"),
        ("xor 13-28", "xor 13-27", "15 bits cannot be spread over 4"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = system_path("rngd").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_system(str(path))


def test_bits_of_a_map() -> None:
    assert parse_bits("bit 8") == (frozenset({8}),)
    assert parse_bits("bits 6-7, 14") == (frozenset({6}), frozenset({7}), frozenset({14}))
    assert parse_bits("bits 1-2 xor 3-6") == (frozenset({1, 3, 5}), frozenset({2, 4, 6}))


def test_what_units_in_memory_say_of_their_dram_holds_for_the_host() -> None:
    """The units' memory is the chip's: a number changed there moves the host's streams, or contradicts its map."""
    where = deploy("lpddr6-pim", "llama-3.1-8b", uncalibrated=True)
    slower = described(where, {"chip.pim.memory.timing.tRFCab": 2028.0}).system.chip
    lost = slower.memory.stream_efficiency.value / where.system.chip.memory.stream_efficiency.value
    assert lost == pytest.approx((1.0 - 2028 / 10416) / (1.0 - 1014 / 10416), rel=0.02)
    assert slower.pim is not None and slower.dram == slower.pim.memory
    with pytest.raises(UserError, match="bank_group reaches 4, but lpddr6-10667 has 8"):
        described(where, {"chip.pim.memory.organisation.bank_groups": 8.0})
