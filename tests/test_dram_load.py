"""DRAM standards: what loads, and the one line that an impossible one gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_support import tell

from npusim.errors import UserError
from npusim.hardware.catalog import (
    load_memory,
    load_pim,
    load_system,
    shipped_memories,
    shipped_pims,
    shipped_systems,
)
from npusim.hardware.dram import Dram
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import provenances

NAMES = shipped_memories()
HBM3 = NAMES["hbm3-6400"].read_text(encoding="utf-8")
FAMILIES = {"hbm2", "hbm3", "hbm3e", "hbm4", "gddr6", "lpddr5", "lpddr5x", "lpddr6"}


@pytest.mark.parametrize("name", NAMES)
def test_shipped_standards_load_with_provenances(name: str) -> None:
    memory = load_memory(name)
    assert memory.name == name
    assert len(list(provenances(name, memory))) > 35
    shape = memory.organisation
    burst_s = memory.burst_clocks * memory.clock_period_s
    assert shape.access.value / burst_s == pytest.approx(memory.peak_bandwidth.value, rel=0.005)
    for alias in memory.aliases:
        assert load_memory(alias.upper()).name == name


def test_every_family_is_shipped_and_no_alias_stands_for_two() -> None:
    memories = [load_memory(name) for name in NAMES]
    assert {memory.family for memory in memories} == FAMILIES
    spellings = [{memory.name, *(alias.lower() for alias in memory.aliases)} for memory in memories]
    assert sum(len(own) for own in spellings) == len(set().union(*spellings))


def test_lpddr6_carries_metadata() -> None:
    memory = load_memory("lpddr6-10667")
    shape = memory.organisation
    assert shape.burst_length.value * shape.width.value == 288
    assert memory.peak_bandwidth.value == pytest.approx(10.667e9 * 12 / 8 * 256 / 288, rel=1e-3)


def test_derived_bins_say_so() -> None:
    for name in ("hbm3e-9600", "lpddr5x-8533", "lpddr5x-10667", "hbm3-6000"):
        timing = load_memory(name).timing
        for quantity in (timing.tRCDRD, timing.tRP, timing.tFAW):
            assert quantity.kind == "derived"
            assert quantity.low is not None and quantity.high is not None


@pytest.mark.parametrize(
    ("key", "cycles", "message"),
    [
        ("tRC", 70, r"tRC = 70 cycles is impossible: it is less than tRAS \+ tRP \(71\)"),
        ("tFAW", 3, r"tFAW = 3 cycles is impossible: it is less than tRRD_S \(4\)"),
        ("tRRD_L", 3, r"tRRD_L = 3 cycles is impossible: it is less than tRRD_S \(4\)"),
        ("tCCD_L", 1, r"tCCD_L = 1 cycles is impossible: it is less than tCCD_S \(2\)"),
        ("tCCD_S", 1, r"timing.tCCD_S = 1 cycles is impossible: it is less than a burst on the pins \(2\)"),
        ("tRAS", 30, r"tRAS = 30 cycles is impossible: it is less than tRCDRD \(31\)"),
        ("tREFI", 600, r"tREFI = 600 cycles is impossible: it is less than tRFCab \+ tRC"),
    ],
)
def test_impossible_timings_are_refused(tmp_path: Path, key: str, cycles: int, message: str) -> None:
    provenance = f'{{value: {cycles} cycle, kind: derived, source: "a slip of the pen"}}'
    text, changed = re.subn(rf"^  {key}:.*?(?=^  \w+:|^\n)", f"  {key}: {provenance}\n", HBM3, flags=re.M | re.S)
    assert changed == 1
    with pytest.raises(UserError, match=message):
        load_yaml(_file(tmp_path, re.sub(r"source: \*\w+", 'source: "as before"', text)), Dram)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("peak_bandwidth: {value: 25.6 GB/s", "peak_bandwidth: {value: 51.2 GB/s", "25.6 GB/s"),
        ("burst_length: {value: 8", "burst_length: {value: 16", "a burst carries .* 512 bit, .* 256 bit"),
        ("row: {value: 1024 B", "row: {value: 1000 B", "whole number of accesses"),
    ],
)
def test_a_peak_or_burst_that_does_not_add_up_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert HBM3.count(old) == 1
    with pytest.raises(UserError, match=message):
        load_yaml(_file(tmp_path, HBM3.replace(old, new)), Dram)


def test_an_unknown_standard_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'hbm3-6400'\? \(npusim list memories\)"):
        load_memory("hbm3-640")


def _file(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_standard_of_ones_own_is_a_file_and_no_code(tmp_path: Path) -> None:
    """A family that nobody knew, beside a chip and a memory with PIM units that name it, asked from another folder."""
    text = NAMES["hbm3-6000"].read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("name: hbm3-6000", "name: mine").replace("hbm3\n", "hbm5\n", 1))
    shipped = shipped_systems()["rngd"].read_text(encoding="utf-8")
    chip = shipped.replace("dram: hbm3-6000", "dram: mine.yaml").replace("technology: hbm3\n", "technology: hbm5\n")
    (tmp_path / "chip.yaml").write_text(re.sub("calibration: .*\n", "", chip))
    units = shipped_pims()["hbm-pim"].read_text(encoding="utf-8")
    (tmp_path / "units.yaml").write_text(units.replace("memory: hbm2-pim-2000", "memory: mine.yaml"))
    standard = str(tmp_path / "mine.yaml")
    assert load_memory(standard).family == "hbm5"
    assert tell("dram", standard, "--json").json["fraction_of_peak"] > 0.5
    assert tell("show", standard, "--json").json["kind"] == "memory"
    memory, own = (load_system(name, uncalibrated=True).chip.memory for name in (str(tmp_path / "chip.yaml"), "rngd"))
    assert (memory.technology, memory.dram) == ("hbm5", standard)
    assert memory.stream_efficiency.value == own.stream_efficiency.value
    assert load_pim(str(tmp_path / "units.yaml")).memory.name == "mine"
    assert tell("pim", "gemv", tmp_path / "units.yaml", "--out", "4096", "--in", "4096", "--json").json["cycles"] > 0
    (tmp_path / "chip.yaml").write_text(chip.replace("technology: hbm5", "technology: hbm7"))
    with pytest.raises(UserError, match=r"chip\.memory\.technology"):
        load_system(str(tmp_path / "chip.yaml"), uncalibrated=True)
