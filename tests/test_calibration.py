"""Calibration calibrations: fitted numbers laid over the described ones, their mistakes, their correlation in draws."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from scipy.stats import norm

from npusim.errors import UserError
from npusim.evidence.measured.sources import sources
from npusim.hardware.calibration import CalibratedNumber, Calibration, load_calibration, with_quantities
from npusim.hardware.catalog import calibration_of, load_runtime, load_system, shipped_runtimes, shipped_systems
from npusim.hardware.data import data_root
from npusim.hardware.draws import draw, quantile
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.system import System
from npusim.hardware.yaml_file import load_yaml
from npusim.ledger import Count, Quantity, provenances
from npusim.mapping.deployment import deploy

H200 = re.sub(
    r"^calibration:.*\n", "", (data_root("arch_configs") / "h200.yaml").read_text("utf-8"), flags=re.MULTILINE
)
STREAM = ("h200", "chip.memory.stream_efficiency", "0.9", "0.01", "0.88", "0.92")
STATIC = ("h200", "chip.power.loaded_static", "171 W", "4 W", "165 W", "180 W")
LAUNCH = ("vllm", "paths.graph.operator_launch", "0.8 us", "0.05 us", "0.7 us", "0.9 us")
FITTED = """name: fitted
arch: h200
date: "2026-11-30"
source: a table of this test
numbers:
  - {owner: h200, path: chip.power.loaded_static, prior: 190 W, identified: 0.1,
     value: 171 W, sd: 4 W, low: 165 W, high: 180 W}
  - {owner: vllm, path: paths.graph.operator_launch, prior: 0.5 us, identified: 0.3,
     value: 0.8 us, sd: 0.05 us, low: 0.7 us, high: 0.9 us}
correlation: [[], [0.5]]
"""


def _number(owner: str, path: str, value: str, sd: str, low: str, high: str) -> CalibratedNumber:
    return CalibratedNumber(owner=owner, path=path, value=value, sd=sd, low=low, high=high, prior=value, identified=0.5)


def _calibration(*numbers: tuple[str, ...], correlation: tuple[tuple[float, ...], ...] = ()) -> Calibration:
    made = tuple(_number(*number) for number in numbers)
    return Calibration(
        name="fitted", arch="h200", date="2026-11-30", source="a test", numbers=made, correlation=correlation
    )


def _h200() -> System:
    return load_system("h200", uncalibrated=True)


def _vllm() -> Runtime:
    return load_runtime("vllm", "gpu")


def test_a_fitted_number_takes_the_place_of_the_described_one() -> None:
    before = _h200()
    after = _calibration(STREAM, LAUNCH).apply("h200", before)
    quantity = after.chip.memory.stream_efficiency
    assert quantity == Quantity(
        value=0.9,
        unit="",
        kind="calibrated",
        source="a test",
        low=0.88,
        high=0.92,
        sd=0.01,
        date="2026-11-30",
        text="0.9",
    )
    changed = [
        old.path
        for old, new in zip(provenances("", before), provenances("", after), strict=True)
        if old.quantity != new.quantity
    ]
    assert changed == ["chip.memory.stream_efficiency"]
    assert build_machine(after)[0]["memory_stream_efficiency"] == 0.9
    assert before.chip.memory.stream_efficiency.value != 0.9


def test_a_number_of_one_path_leaves_the_others() -> None:
    system, before = _h200(), _vllm()
    after = _calibration(STREAM, LAUNCH).apply("vllm", before)
    names = [path.name for path in before.paths]
    old, new = (build_runtime(runtime, system)[0]["paths_operator_launch"] for runtime in (before, after))
    changed = np.flatnonzero(old[: len(names)] != new[: len(names)])
    assert [names[position] for position in changed] == ["graph"]
    assert new[changed[0]] == pytest.approx(0.8e-6)


def test_an_calibration_leaves_what_it_does_not_name() -> None:
    system = _h200()
    assert _calibration(LAUNCH).apply("h200", system) is system


class _Leaf(BaseModel):
    size: Count


class _Tree(BaseModel):
    name: str = "tree"
    rate: Count
    best: _Leaf
    leaves: tuple[_Leaf, ...] = ()
    sizes: tuple[int, ...] = ()
    absent: _Leaf | None = None


def _count(value: float) -> Quantity:
    return Quantity(value=value, unit="", kind="derived", source="a test", text=str(value))


def test_quantities_are_replaced_wherever_they_stand() -> None:
    leaf = _Leaf(size=_count(1))
    tree = _Tree(rate=_count(1), best=leaf, leaves=(leaf, leaf), sizes=(1, 2))
    replaced = {"rate": _count(2), "best.size": _count(3), "leaves.1.size": _count(4)}
    after = with_quantities(tree, replaced)
    found = {item.path: item.quantity.value for item in provenances("", after)}
    assert found == {"rate": 2.0, "best.size": 3.0, "leaves.0.size": 1.0, "leaves.1.size": 4.0}
    assert (after.sizes, after.absent, after.name) == ((1, 2), None, "tree")
    assert {item.quantity.value for item in provenances("", tree)} == {1.0}


def _all_paths() -> dict[str, BaseModel]:
    system = load_system("rngd", uncalibrated=True)
    return {
        "rngd": system,
        "h200": _h200(),
        "vllm": _vllm(),
        system.runtime: load_runtime(system.runtime, "contraction_processor"),
    }


@pytest.mark.parametrize("owner", ["rngd", "h200", "vllm", "furiosa-llm-2026.3"])
def test_every_number_of_a_description_can_be_replaced(owner: str) -> None:
    description = _all_paths()[owner]
    for item in provenances(owner, description):
        changed = item.quantity.model_copy(update={"source": "replaced"})
        after = provenances(owner, with_quantities(description, {item.path: changed}))
        assert [new.path for new in after if new.quantity.source == "replaced"] == [item.path]


MISTAKES = [
    ({"path": "chip.memory.stream_eficiency"}, "the description has no such number; calibrate again"),
    ({"path": "chip.memory"}, "the description has no such number"),
    ({"value": "0.9 us"}, "'us' is not a unit of a plain number"),
    ({"sd": "small"}, "'small' is not a number with a unit"),
    ({"value": "0.95"}, "the range 0.88 ... 0.92 does not hold the value 0.95"),
    ({"low": "0.91"}, "does not hold the value 0.9"),
    ({"low": "-0.1"}, "the range begins below zero, at -0.1"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_a_mistake_names_calibration_number_and_mend(change: dict[str, str], message: str) -> None:
    number = _number(*STREAM).model_copy(update=change)
    calibration = _calibration(STREAM).model_copy(update={"numbers": (number,)})
    with pytest.raises(UserError) as caught:
        calibration.apply("h200", _h200())
    assert (caught.value.location, caught.value.key) == ("fitted", f"h200.{number.path}")
    assert message in caught.value.message


def test_a_correlation_is_a_whole_matrix() -> None:
    matrix = _calibration(STREAM, STATIC, LAUNCH, correlation=((), (0.5,), (-0.2, 0.1))).correlation_matrix()
    np.testing.assert_array_equal(matrix, [[1.0, 0.5, -0.2], [0.5, 1.0, 0.1], [-0.2, 0.1, 1.0]])
    np.testing.assert_array_equal(_calibration(STREAM, STATIC).correlation_matrix(), np.eye(2))


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("[[], [0.5]]", "[[], [0.5, 1.0]]", None, "", "one entry for each number before it"),
        ("[[], [0.5]]", "[[0.5]]", None, "", "a row for each number"),
        ("arch: h200", "arhc: h200", 2, "arhc", "did you mean 'arch'?"),
        ("identified: 0.3", "identified: much", 8, "numbers.1.identified", "valid number"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, old: str, new: str, line: int | None, key: str, message: str) -> None:
    path = tmp_path / "fitted.yaml"
    assert FITTED.count(old) == 1
    path.write_text(FITTED.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_calibration(path)
    assert caught.value.location == (f"{path}:{line}" if line else str(path))
    assert caught.value.key == key
    assert message in caught.value.message


def test_an_calibration_without_numbers_is_none(tmp_path: Path) -> None:
    path = tmp_path / "fitted.yaml"
    path.write_text(f"{FITTED[: FITTED.index('numbers:')]}numbers: []\n", encoding="utf-8")
    with pytest.raises(UserError, match="numbers"):
        load_calibration(path)


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """A copy of an architecture that names a calibration beside it."""
    path = tmp_path / "mine.yaml"
    described = H200.replace("runtime: vllm\n", "runtime: vllm\ncalibration: fits/fitted.yaml\n", 1)
    path.write_text(described, encoding="utf-8")
    (tmp_path / "fits").mkdir()
    (tmp_path / "fits" / "fitted.yaml").write_text(FITTED, encoding="utf-8")
    return path


def test_an_architecture_names_its_calibration(calibrated: Path) -> None:
    calibration = calibration_of(str(calibrated))
    assert calibration is not None
    assert calibration.name == "fitted"
    assert load_system(str(calibrated)).chip.power.loaded_static.value == 171.0
    described = load_system(str(calibrated), uncalibrated=True)
    assert described.chip.power.loaded_static == _h200().chip.power.loaded_static


def test_a_deployment_is_under_its_calibration_or_not(calibrated: Path) -> None:
    fitted = deploy(str(calibrated), "llama-3.1-8b")
    assert fitted.calibration is not None
    assert fitted.machine[0]["power_loaded_static"] == 171.0
    graph = [path.name for path in fitted.runtime.paths].index("graph")
    assert fitted.runtime_record[0]["paths_operator_launch"][graph] == pytest.approx(0.8e-6)
    kinds = {item.path: item.quantity.kind for item in fitted.provenances()}
    assert [path for path, kind in kinds.items() if kind == "calibrated"] == [STATIC[1], LAUNCH[1]]
    plain = deploy(str(calibrated), "llama-3.1-8b", uncalibrated=True)
    assert plain.calibration is None
    assert plain.machine[0]["power_loaded_static"] == build_machine(_h200())[0]["power_loaded_static"]
    assert "calibrated" not in {item.quantity.kind for item in plain.provenances()}


def test_a_missing_calibration_is_the_users_mistake(calibrated: Path) -> None:
    (calibrated.parent / "fits" / "fitted.yaml").unlink()
    with pytest.raises(UserError) as caught:
        load_system(str(calibrated))
    assert (caught.value.location, caught.value.key) == (str(calibrated), "calibration")
    assert str(calibrated.parent / "fits" / "fitted.yaml") in caught.value.message
    assert load_system(str(calibrated), uncalibrated=True).name == "h200"


def test_a_calibration_of_another_chip_is_refused(calibrated: Path) -> None:
    calibrated.write_text(calibrated.read_text("utf-8").replace("name: h200\n", "name: other\n", 1), "utf-8")
    with pytest.raises(UserError, match="was fitted to h200, not to other"):
        load_system(str(calibrated))


@pytest.mark.parametrize("name", shipped_systems())
def test_shipped_calibrations_fit_their_architectures(name: str) -> None:
    described, calibration = load_system(name, uncalibrated=True), calibration_of(name)
    parts: dict[str, BaseModel] = {name: described, sources().name: sources()}
    for runtime in shipped_runtimes():
        loaded = load_yaml(shipped_runtimes()[runtime], Runtime)
        parts |= {runtime: loaded} if loaded.unit == described.chip.unit.kind else {}
    fitted = {(number.owner, number.path) for number in calibration.numbers} if calibration else set()
    found = set()
    for owner, part in parts.items():
        under = calibration.apply(owner, part) if calibration else part
        found |= {(owner, item.path) for item in provenances(owner, under) if item.quantity.kind == "calibrated"}
    assert found == fitted
    assert load_system(name) == (calibration.apply(name, described) if calibration else described)


TRIANGLE = ((), (0.8,), (-0.6, -0.3))
COUNT = 4000


def _scores(quantity: Quantity, values: np.ndarray) -> Any:
    """Normal scores of draws from a provenance's distribution."""
    shares = np.linspace(1e-4, 1.0 - 1e-4, 20001)
    return norm.ppf(np.interp(values, quantile(quantity, shares), shares))


def test_draws_have_the_correlation_of_the_calibration() -> None:
    calibration = _calibration(STREAM, STATIC, LAUNCH, correlation=TRIANGLE)
    system, runtime = calibration.apply("h200", _h200()), calibration.apply("vllm", _vllm())
    machines, runtimes = draw(system, runtime, COUNT, 3, calibration)
    graph = next(index for index, path in enumerate(runtime.paths) if path.name == "graph")
    chip = system.chip
    drawn = [
        _scores(chip.memory.stream_efficiency, machines["memory_stream_efficiency"]),
        _scores(chip.power.loaded_static, machines["power_loaded_static"]),
        _scores(runtime.paths[graph].operator_launch, runtimes["paths_operator_launch"][:, graph]),
        _scores(chip.power.memory_byte, machines["power_memory_byte"]),
    ]
    found = np.corrcoef(drawn)
    np.testing.assert_allclose(found[:3, :3], calibration.correlation_matrix(), atol=0.05)
    np.testing.assert_allclose(found[3, :3], 0.0, atol=0.05)
    assert np.std(drawn, axis=1) == pytest.approx(np.ones(4), abs=0.05)
    low, middle, high = np.quantile(machines["power_loaded_static"], [0.05, 0.5, 0.95])
    assert (low, middle, high) == pytest.approx((165.0, 171.0, 180.0), rel=0.01)


def test_without_an_calibration_draws_are_independent() -> None:
    calibration = _calibration(STREAM, STATIC, correlation=((), (0.8,)))
    machines, _ = draw(calibration.apply("h200", _h200()), _vllm(), COUNT, 3)
    found = np.corrcoef(machines["memory_stream_efficiency"], machines["power_loaded_static"])[0, 1]
    assert abs(found) < 0.05


def test_a_shared_number_keeps_its_spread_and_its_correlation() -> None:
    """One provenance for two paths is one coordinate, whichever of them the calibration names first."""
    fit = ("40 us", "2 us", "37 us", "44 us")
    shared = [("furiosa-llm-2026.3", f"paths.{name}.attention_execution", *fit) for name in ("wired", "kernelwise")]
    other = ("rngd", "chip.unit.contraction_efficiency", "0.8", "0.02", "0.77", "0.83")
    calibration = _calibration(other, *shared, correlation=((), (0.7,), (0.7, 1.0)))
    system = calibration.apply("rngd", load_system("rngd", uncalibrated=True))
    runtime = calibration.apply("furiosa-llm-2026.3", load_runtime("furiosa-llm-2026.3", "contraction_processor"))
    machines, runtimes = draw(system, runtime, COUNT, 5, calibration)
    names = [path.name for path in runtime.paths]
    wired, kernelwise = (
        runtimes["paths_attention_execution"][:, names.index(name)] for name in ("wired", "kernelwise")
    )
    np.testing.assert_array_equal(wired, kernelwise)
    assert np.quantile(wired, [0.05, 0.95]) == pytest.approx([37e-6, 44e-6], rel=0.01)
    quantity = system.chip.unit.contraction_efficiency
    scores = [
        _scores(quantity, machines["tcp_contraction_efficiency"]),
        _scores(runtime.paths[names.index("wired")].attention_execution, wired),
    ]
    assert np.corrcoef(scores)[0, 1] == pytest.approx(0.7, abs=0.05)


def test_correlated_draws_repeat_under_a_seed() -> None:
    calibration = _calibration(STREAM, STATIC, correlation=((), (0.8,)))
    system = calibration.apply("h200", _h200())
    first, same, other = (draw(system, _vllm(), 16, seed, calibration)[0].tobytes() for seed in (1, 1, 2))
    assert first == same != other


def test_a_number_changed_in_a_copy_is_meant_as_it_is_written(tmp_path: Path) -> None:
    """A copied runtime keeps its name; the calibration holds for the numbers that are what they were before the fit."""
    shipped = (data_root("arch_configs") / "runtimes" / "furiosa-llm-2026.3.yaml").read_text(encoding="utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(shipped, encoding="utf-8")
    assert shipped.index("step_time:") < shipped.index("value: 12 ms") < shipped.index("request_time:")
    other.write_text(shipped.replace("value: 12 ms", "value: 14 ms", 1), encoding="utf-8")
    usual, copied, changed = (
        deploy("rngd", "llama-3.1-8b", runtime=name) for name in ("furiosa-llm-2026.3", str(same), str(other))
    )
    assert usual.calibration == copied.calibration and usual.runtime == copied.runtime
    assert usual.runtime.host.step_time.kind == "calibrated"
    assert (changed.runtime.host.step_time.value, changed.runtime.host.step_time.kind) == (0.014, "derived")
    assert changed.runtime.host.request_time == usual.runtime.host.request_time
    assert usual.calibration is not None and changed.calibration is not None
    held = {(each.owner, each.path) for each in usual.calibration.numbers}
    assert held - {(each.owner, each.path) for each in changed.calibration.numbers} == {
        ("furiosa-llm-2026.3", "host.step_time")
    }
