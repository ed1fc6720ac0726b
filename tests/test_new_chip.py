"""A description to begin a new chip from is its model to the bit, and lint finds what chips do not have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_support import mistake, tell

from npusim.hardware.catalog import calibration_of, load_system, shipped_systems
from npusim.hardware.field_docs import field_docs
from npusim.hardware.units.contraction_processor import ContractionProcessor
from npusim.mapping.deployment import deploy


def _begun(folder: Path, monkeypatch: pytest.MonkeyPatch, like: str = "rngd") -> Path:
    monkeypatch.chdir(folder)
    assert tell("new-chip", "mine", "--like", like, "--json").json["files"] == ["mine.yaml"]
    return folder / "mine.yaml"


@pytest.mark.parametrize("like", ["rngd", "h200", "rngd-plus-max", "lpddr6-pim", "hyperaccel-orion"])
def test_a_new_chip_is_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, like: str) -> None:
    path = _begun(tmp_path, monkeypatch, like)
    precision = "int8" if "pim" in like else "bf16"
    state = "as-labs-ran"  # a new chip is no silicon, so that its software would be open
    ours, known = (deploy(name, "qwen2.5-0.5b", precision=precision, software=state) for name in (str(path), like))
    assert ours.machine.tobytes() == known.machine.tobytes()
    assert ours.runtime_record.tobytes() == known.runtime_record.tobytes()
    assert not load_system(str(path)).silicon


def test_each_key_says_what_it_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _begun(tmp_path, monkeypatch).read_text(encoding="utf-8")
    plain = " ".join(line.strip("# ") for line in text.splitlines() if line.strip().startswith("#"))
    for name in ("clock", "clusters", "sram_per_slice", "dma_queue"):
        assert field_docs(ContractionProcessor)[name] in plain
    calibration = calibration_of("rngd")
    assert calibration is not None
    (fitted,) = (each for each in calibration.numbers if each.path == "chip.unit.contraction_efficiency")
    assert f"Fitted: {fitted.value}." in plain and "[cycle/s," in plain


def test_a_changed_number_is_no_longer_the_calibrated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _begun(tmp_path, monkeypatch)
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(r"contraction_efficiency: \{value: [0-9.]+", "contraction_efficiency: {value: 0.75", text)
    assert count == 1
    path.write_text(changed, encoding="utf-8")
    unit, known = load_system(str(path)).chip.unit, load_system("rngd").chip.unit
    assert unit.contraction_efficiency.value == 0.75
    assert unit.dma_efficiency == known.dma_efficiency and known.dma_efficiency.kind == "calibrated"


def test_nothing_is_overwritten_and_no_shipped_name_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _begun(tmp_path, monkeypatch)
    before = path.read_bytes()
    assert "never replaced" in mistake("new-chip", "mine", "--like", "rngd")
    assert path.read_bytes() == before
    assert "shipped" in mistake("new-chip", "h200", "--like", "rngd")
    assert "letters" in mistake("new-chip", "../mine", "--like", "rngd")
    assert "did you mean 'rngd'" in mistake("new-chip", "other", "--like", "rngdd")
    assert [each.name for each in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("name", sorted(shipped_systems()))
def test_nothing_is_odd_in_what_is_shipped(name: str) -> None:
    assert tell("lint", name, "--json").json["findings"] == []


@pytest.mark.parametrize(
    ("key", "value", "code", "said"),
    [
        ("contraction_efficiency", "84", 2, "at most 1"),
        ("contraction_efficiency", "1.84", 2, "at most 1"),
        ("contraction_efficiency", "0.084", 1, "below what is usual"),
        ("clusters", "1.5", 2, "whole number"),
        ("usable_capacity", "475 GiB", 2, "more than the capacity"),
        ("clock", "1e30 GHz", 2, "out of range"),
        ("clock", "40 GHz", 1, "above what is usual"),
        ("memory_byte", "35 J/B", 2, "out of range"),
        ("memory_byte", "35 nJ/B", 1, "above what is usual"),
        ("tdp", "20 W", 1, "below what the chip draws idle"),
        ("sram_per_slice", "1 B", 1, "below what is usual"),
        ("channel_bandwidth", "96 GB/s", 2, "channel_bandwidth"),
        ("dma_bandwidth_per_pe", "25 B/cycle", 1, "less than half"),
    ],
)
def test_lint_says_what_is_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, code: int, said: str
) -> None:
    path = _begun(tmp_path, monkeypatch)
    text, count = re.subn(
        rf"^(\s+{key}: \{{value: )[^,]+(.*?)(, low: [^,]+, high: [^}}]+)?\}}$", rf"\g<1>{value}\g<2>}}",
        path.read_text(encoding="utf-8"), flags=re.MULTILINE,
    )  # fmt: skip
    assert count == 1
    text = re.sub(rf"^(\s+{key}: .*)kind: assumed", r"\1kind: datasheet", text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    line = next(number for number, each in enumerate(text.splitlines(), 1) if re.match(rf"\s+{key}:", each))
    told = tell("lint", path, "--json")
    assert told.code == code, told
    findings = json.loads(told.out)["findings"]
    assert any(said in each["says"] for each in findings), findings
    if code == 1:
        assert any(each["line"] == line for each in findings) or key in str(findings)
    assert tell("lint", path).code == code


@pytest.mark.parametrize(("capacity", "says"), [("72 GiB", "is more than"), ("8 GiB", "less than half")])
def test_lint_holds_capacity_to_the_banks_of_the_standard(tmp_path: Path, capacity: str, says: str) -> None:
    """Two stacks of hbm3e-9600 hold 32 GiB, two of hbm3e-9600-36gb the 72 of RNGD+."""
    told = "{{value: {}, kind: assumed, source: a test, low: {}, high: {}}}"
    sizes = f"capacity: {told.format(*3 * [capacity])}, usable_capacity: {told.format(*3 * ['6 GiB'])}"
    (tmp_path / "mine.yaml").write_text(
        f"extends: rngd-plus\nname: mine\ntitle: mine\nchip: {{memory: {{dram: hbm3e-9600, {sizes}}}}}\n"
    )
    told = tell("lint", tmp_path / "mine.yaml", "--json")
    assert told.code == 1
    findings = json.loads(told.out)["findings"]
    (found,) = [each for each in findings if "banks and rows" in each["says"]]
    assert found["path"] == "chip.memory.capacity" and says in found["says"]


def test_lint_tells_every_mistake_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _begun(tmp_path, monkeypatch)
    text = path.read_text(encoding="utf-8").replace("clusters: {value: 2", "clusters: {value: 1.5")
    path.write_text(text.replace("clock: {value: 1.0 GHz", "clock: {value: 1 GB/s"), encoding="utf-8")
    told = tell("lint", path)
    assert told.code == 2 and told.out.count("mistake: ") >= 2
    assert "chip.unit.clusters:" in told.out and "chip.unit.clock:" in told.out


def test_lint_of_no_file_is_a_mistake(tmp_path: Path) -> None:
    assert "no such file" in mistake("lint", tmp_path / "none.yaml")
