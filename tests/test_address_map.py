"""A chip's address map against its geometry: derived anew for other stacks and channels, checked against the DRAM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_support import tell

from npusim.errors import UserError
from npusim.hardware.address_map import AddressMap, FittedMap, coordinate, fitted
from npusim.hardware.calibration import with_quantities
from npusim.hardware.catalog import load_memory, load_pim, load_system, shipped_systems, system_path
from npusim.hardware.dram_channel.measure import Traffic, measure_channel
from npusim.hardware.memory import Memory
from npusim.hardware.stream import Stream, stream_efficiency
from npusim.hardware.stream_memo import is_derived_stream, memo_key, shipped_memo
from npusim.hardware.system import System
from npusim.mapping.deployment import deploy
from npusim.mapping.footprint import footprint

SMALL = AddressMap(
    source="a test", stack="bit 6", channel="bits 7-8 xor 9-12", pseudo_channel="bit 5", rank="none",
    bank_group="bit 9", bank="bits 10-11", row="bits 14-15", column="bits 12-13",
)  # type: ignore[arg-type]  # fmt: skip
GEOMETRIES = [(2, 4), (4, 4), (1, 4), (2, 8), (2, 2), (8, 8), (3, 4), (2, 3), (5, 7)]


def with_numbers(system: System, **changes: float) -> System:
    """The system with these numbers of its memory, checked anew."""
    known = {
        f"chip.memory.{name}": getattr(system.chip.memory, name).model_copy(
            update={"value": value, "text": f"{value:g}"}
        )
        for name, value in changes.items()
    }
    return System.model_validate(dict(with_quantities(system, known)))


def _memory(**changes: float) -> Memory:
    return with_numbers(load_system("rngd", uncalibrated=True), **changes).chip.memory


@pytest.mark.parametrize(("stacks", "channels"), GEOMETRIES)
def test_every_burst_has_a_place_of_its_own_on_evenly_loaded_channels(stacks: int, channels: int) -> None:
    placed = fitted(SMALL, stacks, channels)
    every = stacks * channels
    # Bits 5, 9 to 15 of a channel: 256 bursts of 32 B each.
    addresses = np.arange(256 * every, dtype=np.int64) * 32
    channel = placed.channel_of(addresses)
    assert (np.bincount(channel, minlength=every) == 256).all()
    inside = placed.inside(addresses)
    names = ("pseudo_channel", "bank_group", "bank", "row", "column")
    coordinates = [coordinate(inside, getattr(placed, name)) for name in names]
    assert len(set(zip(channel.tolist(), *(each.tolist() for each in coordinates), strict=True))) == len(addresses)


@pytest.mark.parametrize(
    ("stacks", "channels", "rule"),
    [(2, 16, "as_described"), (4, 16, "shifted"), (1, 8, "shifted"), (3, 16, "modulo"), (2, 12, "modulo")],
)
def test_the_rule_is_named(stacks: int, channels: int, rule: str) -> None:
    placed = _memory(stacks=stacks, channels_per_stack=channels).address_map
    assert isinstance(placed, FittedMap)
    assert (placed.rule, placed.stacks, placed.channels) == (rule, stacks, channels)
    assert fitted(placed, 2, 16).rule != "modulo" or rule == "modulo"


def test_upper_bits_stay_hashed_into_the_channel() -> None:
    placed = _memory(stacks=4, channels_per_stack=8).address_map
    assert placed is not None
    assert all(len(parts) > 1 for parts in placed.channel)
    hashed = {bit for parts in placed.channel for bit in parts if bit > 12}
    assert hashed == set(range(13, 29))


@pytest.mark.parametrize("times", [0.5, 2.0, 4.0])
def test_so_many_times_the_stacks_give_so_many_times_the_rate(times: float) -> None:
    own, other = _memory(), _memory(stacks=2.0 * times)
    rates = [each.peak_bandwidth_bytes_per_s * each.stream_efficiency.value for each in (own, other)]
    assert rates[1] == pytest.approx(times * rates[0], rel=1e-9)
    assert other.stream_efficiency.kind == "derived"


def test_three_stacks_give_half_as_much_again_and_are_run_command_by_command() -> None:
    memory, dram = _memory(stacks=3.0), load_memory("hbm3-6000")
    assert memory.address_map is not None
    found = stream_efficiency(dram, memory.address_map, 256, Stream.contiguous(256))
    assert memory.stream_efficiency.value == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(_memory().stream_efficiency.value, rel=0.02)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "value: 16\n      kind: datasheet",
            "value: 17\n      kind: datasheet",
            "channels_per_stack 17 is more than the 16",
        ),
        ("pseudo_channel: bit 5", "pseudo_channel: none", "pseudo_channel reaches 1, but hbm3-6000 has 2"),
        ("bank: bits 17-18", "bank: bit 17", "bank reaches 2, but hbm3-6000 has 4"),
        ("bank_group: bits 13, 19", "bank_group: bits 13, 19, 34", "bank_group reaches 8, but hbm3-6000 has 4"),
        ("column: bits 6-7, 14-16", "column: bits 6-7, 14-15", "column reaches 16, but hbm3-6000 has 32"),
        ("rank: bit 20", "rank: bits 20, 34", "rank reaches 4, but hbm3-6000 has only 3"),
        ("row: bits 21-33", "row: bits 21-35", "row reaches 32768, but hbm3-6000 has only 16384"),
    ],
)
def test_a_map_that_is_not_that_of_the_standard_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = system_path("rngd").read_text(encoding="utf-8")
    at = text.index("channels_per_stack:") if "17" in new else 0
    assert old in text[at:]
    path = tmp_path / "mine.yaml"
    path.write_text(text[:at] + text[at:].replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        load_system(str(path), uncalibrated=True)


def test_a_map_without_room_for_more_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        fitted(SMALL, 1 << 50, 4)


def test_a_sweep_of_stacks_derives_the_map_for_each(tmp_path: Path) -> None:
    text = (
        "name: s\narch: rngd\nmodels: [qwen2.5-0.5b]\nworkloads: [{isl: 64, osl: 8, users: [8]}]\n"
        "vary: {chip.memory.stacks: {values: [1, 2, 3, 4]}}\nobjectives: {decode_ms: min}\n"
    )
    (tmp_path / "s.yaml").write_text(text)
    done = tell("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out", "--workers", "1", "--json")
    assert done.code == 0, done.err
    decode_ms = pd.read_parquet(tmp_path / "out" / "points.parquet").sort_values("chip.memory.stacks")["decode_ms"]
    assert decode_ms.is_monotonic_decreasing


def test_units_are_at_most_one_a_bank_or_shared_by_the_rule_that_is_told(tmp_path: Path) -> None:
    for name, most in (("lpddr6-pim", 16), ("hbm-pim", 8), ("attacc-bank-group", 8), ("attacc-buffer", 1)):
        pim = load_pim(name)
        assert pim.unit.mac.units.value <= most
        path = tmp_path / "mine.yaml"
        units = f"{{value: {most + 1}, kind: assumed, source: a test, low: 1, high: 64}}"
        path.write_text(
            f"extends: {name}\nname: mine\ntitle: mine\nunit: {{mac: {{units: {units}}}}}\n", encoding="utf-8"
        )
        with pytest.raises(UserError, match=rf"unit.mac.units {most + 1} is more than one per {pim.unit.mac.per[:4]}"):
            load_pim(str(path))


def test_a_chip_s_units_are_on_its_own_standard(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: rngd-hbm3e-pim\nname: mine\ntitle: mine\nchip: {pim: attacc-bank}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"memory\.dram is hbm3e-9600-36gb, but pim is on hbm3-5200-two-ranks"):
        load_system(str(path))


@pytest.mark.parametrize(("name", "width"), [("lpddr6-10667-x6", 6), ("lpddr6-10667", 12), ("lpddr6-10667-x24", 24)])
def test_widths_of_lpddr6_carry_eight_ninths_of_their_pins(name: str, width: int) -> None:
    dram = load_memory(name)
    assert dram.organisation.width.value == width
    assert dram.peak_bandwidth.value == pytest.approx(width * 10.667e9 / 8 * 8 / 9, rel=1e-4)
    run = measure_channel(dram, Traffic(refresh="off"))
    assert run.fraction_of_peak == pytest.approx(1.0, abs=0.01)


def test_metadata_takes_capacity_from_data() -> None:
    where = deploy("lpddr6-pim", "llama-3.1-8b", precision="int8")
    rooms = []
    for part in (0.0, 0.1):
        machine = where.machine.copy()
        machine["memory_metadata_carve_out"] = part
        rooms.append(footprint(machine[0], where.runtime_record[0], where.model, where.precision, where.plan))
    memory = where.system.chip.memory
    assert rooms[0].available_bytes - rooms[1].available_bytes == pytest.approx(0.1 * memory.usable_capacity.value)
    assert memory.metadata_carve_out is not None
    assert memory.data_bytes == memory.usable_capacity.value * (1.0 - memory.metadata_carve_out.value)


def test_rates_of_shipped_chips_are_shipped_with_them() -> None:
    """Without them every first run would compile and run the DRAM kernel."""
    shipped, found = json.loads(shipped_memo().read_text(encoding="utf-8")), set()
    for name in shipped_systems():
        memory = load_system(name, uncalibrated=True).chip.memory
        if is_derived_stream(memory.stream_efficiency):
            assert memory.dram is not None and memory.address_map is not None
            key = memo_key(load_memory(memory.dram), memory.address_map, int(memory.access_unit.value))
            assert memory.stream_efficiency.value == shipped[key], name
            found.add(key)
    assert found == shipped.keys()
