"""A description that extends another one: the same rules for every kind, at any depth, under either spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from npusim.answers.describe import kind_of_description
from npusim.cli.main import main
from npusim.errors import UserError
from npusim.hardware.catalog import (
    calibration_of,
    load_memory,
    load_pim,
    load_runtime,
    load_system,
    shipped_systems,
)
from npusim.hardware.description import read_yaml
from npusim.inputs import recording
from npusim.ledger import provenances

CLOCK = "chip: {unit: {clock: {value: %s, kind: assumed, source: a test, low: 0.5 GHz, high: 2 GHz}}}\n"


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ntitle: {name}\n{text}", encoding="utf-8")
    return str(path)


def test_the_nearest_says_what_holds_at_any_depth(tmp_path: Path) -> None:
    _write(tmp_path, "first", "extends: rngd\nvendor: first\n" + CLOCK % "1.1 GHz")
    _write(tmp_path, "second", "based_on: first\nvendor: second\n")
    third = _write(tmp_path, "third", "extends: second\nnote: third\n")
    system, base = load_system(third), load_system("rngd")
    assert (system.name, system.note, system.vendor, system.extends) == ("third", "third", "second", "second")
    assert system.chip.unit.clock.value == 1.1e9
    assert system.chip.memory == base.chip.memory
    assert system.aliases == ()
    with recording() as read:
        load_system(third)
    assert [file.path.stem for file in read.files][:4] == ["third", "second", "first", "rngd"]


def test_a_calibration_holds_for_what_extends_its_architecture_at_any_depth(tmp_path: Path) -> None:
    _write(tmp_path, "first", "extends: rngd\n")
    second = _write(tmp_path, "second", "extends: first\n")
    lent = calibration_of(second)
    assert lent is not None
    assert lent.arch == "second"
    assert load_system(second).chip == load_system("rngd").chip


def test_a_number_and_a_list_are_replaced_as_a_whole(tmp_path: Path) -> None:
    bare = _write(tmp_path, "bare", "extends: rngd\nchip: {unit: {clock: {value: 1 GHz, kind: datasheet}}}\n")
    with pytest.raises(UserError, match=r"chip\.unit\.clock: the provenance lacks source"):
        load_system(bare)
    half = _write(tmp_path, "half", "extends: rngd\nchip: {unit: {clock: {low: 1 GHz}}}\n")
    with pytest.raises(UserError, match=r"chip\.unit\.clock: the provenance lacks value, kind, source"):
        load_system(half)
    expansion = "[{stored: int4, activations: bf16, computed: bf16, source: a test}]"
    short = _write(tmp_path, "short", f"extends: rngd\nchip: {{unit: {{expansions: {expansion}}}}}\n")
    assert len(load_system(short).chip.unit.expansions) == 1 < len(load_system("rngd").chip.unit.expansions)


def test_a_part_of_another_kind_keeps_nothing_of_the_base(tmp_path: Path) -> None:
    runtime = _write(tmp_path, "mine", "extends: vllm\npolicy: {kind: exclusive, source: a test}\n")
    assert load_runtime("vllm", "gpu").policy.kind == "hybrid"
    assert load_runtime(runtime, "gpu").policy.model_dump() == {"kind": "exclusive", "source": "a test"}


@pytest.mark.parametrize("key", ["extends", "based_on"])
def test_every_kind_of_description_can_extend_another_one(tmp_path: Path, key: str) -> None:
    for kind, base, load in (
        ("architecture", "h200", load_system),
        ("runtime", "vllm", lambda name: load_runtime(name, "gpu")),
        ("pim", "aim", load_pim),
        ("memory", "hbm3-5200", load_memory),
    ):
        mine = _write(tmp_path, "mine", f"{key}: {base}\n")
        own = {"name": "mine", "title": "mine", "aliases": (), "note": "", "extends": base}
        changes = {name: value for name, value in own.items() if name in type(load(base)).model_fields}
        assert load(mine) == load(base).model_copy(update=changes)
        assert kind_of_description(mine) == kind


def test_a_part_in_place_can_extend_a_shipped_one(tmp_path: Path) -> None:
    mine = _write(tmp_path, "mine", "extends: hbm-pim-card\nchip: {pim: {extends: hbm-pim, name: own, title: own}}\n")
    pim = load_system(mine).chip.pim
    assert pim is not None
    assert (pim.name, pim.unit) == ("own", load_pim("hbm-pim").unit)


def test_a_path_counts_from_the_folder_of_the_description_that_gives_it(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    _write(tmp_path / "library", "units", "extends: hbm-pim\n")
    _write(tmp_path / "library", "base", "extends: hbm-pim-card\nchip: {pim: units.yaml}\n")
    pim = load_system(_write(tmp_path, "mine", "extends: library/base.yaml\n")).chip.pim
    assert pim is not None
    assert pim.name == "units"


def test_a_file_named_as_the_shipped_one_that_it_extends(tmp_path: Path) -> None:
    assert load_system(_write(tmp_path, "rngd", "extends: rngd\nvendor: me\n")).vendor == "me"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"mine": "extends: other\n", "other": "based_on: mine\n"}, "mine.yaml extends itself in a circle"),
        ({"mine": "extends: mine.yaml\n"}, "mine.yaml extends itself in a circle"),
        ({"mine": "extends: rngd\nbased_on: h200\n"}, "means the same as extends"),
        ({"mine": "extends: [rngd]\n"}, "must be the name of a description"),
        ({"mine": "extends: ../rngd\n"}, "must be the name of a description"),
        ({"mine": "extends: nothing\n"}, "'nothing': no such file; known: "),
    ],
)
def test_a_mistake_is_one_line(
    files: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        _write(tmp_path, name, text)
    assert main(["show", str(tmp_path / "mine.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("name", sorted(shipped_systems()))
def test_another_chip_has_its_own_server_or_none_is_known(name: str) -> None:
    """Host and rack are of the server that a card stands in: no other silicon takes them over unsaid."""
    told, housing = read_yaml(shipped_systems()[name]), load_system(name).housing
    if "chip" in told or "card" in told:
        assert (housing is not None) == (told.get("housing") is not None)
    if housing is not None and not load_system(name).silicon:
        assert all(each.quantity.is_assumed for each in provenances(name, housing))


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("server: {max_cards: {value: 4, kind: derived, source: a test}}", True),
        ("chip: {power: {tdp: {value: 150 W, kind: derived, source: a test}}}", False),
        ("card: {chips: {value: 1, kind: derived, source: a test}}", False),
        ("chip: {}\nhousing: {host: {value: 1 kW, kind: derived, source: a test}}", None),
    ],
)
def test_a_place_is_taken_over_with_the_chip_alone(tmp_path: Path, own: str, kept: bool | None) -> None:
    """Nor is a part of it: a housing that is told must be whole."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: rngd\nname: mine\ntitle: mine\n{own}\n")
    if kept is None:
        with pytest.raises(UserError, match="supply_efficiency"):
            load_system(str(path))
    else:
        assert load_system(str(path)).housing == (load_system("rngd").housing if kept else None)
