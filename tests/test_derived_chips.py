"""Chips that inherit from a calibrated one: its posterior holds for what they inherit, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npusim.answers.describe import describe
from npusim.engine.analytic import AnalyticEngine
from npusim.engine.host import exposed_host_time
from npusim.errors import UserError
from npusim.hardware.calibration import InheritedCalibration, calibration_text, with_quantities
from npusim.hardware.catalog import calibration_of, load_memory, load_system
from npusim.hardware.draws import draw
from npusim.hardware.machine import build_machine
from npusim.hardware.states import STATES
from npusim.hardware.stream import Stream, stream_efficiency
from npusim.ledger import provenances
from npusim.mapping.deployment import deploy
from npusim.mapping.plan import all_plans
from npusim.workload.step import decode, prefill

OF_RNGD = ("rngd-plus", "rngd-plus-max", "rngd-2-server", "rngd-hbm3e-pim")


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ntitle: {name}\n{text}", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("arch", OF_RNGD)
def test_the_posterior_holds_for_inherited_numbers_alone(arch: str) -> None:
    calibration, chip, rngd = calibration_of(arch), load_system(arch).chip, load_system("rngd").chip
    assert isinstance(calibration, InheritedCalibration)
    assert (calibration.fitted_to, calibration.replaced) == ("rngd", 4)
    assert chip.unit.dma_efficiency == rngd.unit.dma_efficiency  # type: ignore[attr-defined]
    assert chip.unit.dma_efficiency.kind == "calibrated"  # type: ignore[attr-defined]
    for number in (chip.memory.stream_residual, chip.power.idle, chip.power.loaded_static, chip.power.memory_byte):
        assert number is not None and number.kind == "assumed"
    assert "4 replaced ones" in str(calibration_text(calibration, "furiosa-llm-2026.3"))


def test_a_number_that_the_heir_replaces_is_no_longer_calibrated(tmp_path: Path) -> None:
    own = "{value: 0.5, kind: assumed, source: a test, low: 0.4, high: 0.6}"
    heir = load_system(_write(tmp_path, "heir", f"inherits: rngd\nchip: {{unit: {{dma_efficiency: {own}}}}}\n"))
    assert heir.chip.unit.dma_efficiency.value == 0.5  # type: ignore[attr-defined]
    assert heir.chip.unit.dma_command == load_system("rngd").chip.unit.dma_command  # type: ignore[attr-defined]


def test_inherited_numbers_are_drawn_as_the_parent_s(tmp_path: Path) -> None:
    """Same posterior, same correlations: an heir that replaces nothing draws what its parent draws."""
    heir = _write(tmp_path, "heir", "inherits: rngd\n")
    drawn = [
        draw(where.system, where.runtime, 16, 0, where.calibration)[0]
        for where in (deploy(name, "qwen2.5-0.5b") for name in ("rngd", heir))
    ]
    for name in drawn[0].dtype.names or ():
        np.testing.assert_array_equal(drawn[0][name], drawn[1][name], err_msg=name)


def test_correlations_are_those_of_the_numbers_that_are_left() -> None:
    parent, heir = calibration_of("rngd"), calibration_of("rngd-plus")
    assert parent is not None and heir is not None
    index = {(each.owner.replace("rngd", "rngd-plus", 1), each.path): at for at, each in enumerate(parent.numbers)}
    at = [index[each.owner, each.path] for each in heir.numbers]
    np.testing.assert_array_equal(heir.correlation_matrix(), parent.correlation_matrix()[np.ix_(at, at)])


def test_a_runtime_that_inherits_keeps_the_posterior_too() -> None:
    own, heir = (deploy(name, "qwen2.5-0.5b", software="as-labs-ran") for name in ("rngd", "rngd-hbm3e-pim"))
    assert heir.runtime.name == "furiosa-pim"
    assert heir.runtime.host.step_time == own.runtime.host.step_time
    assert heir.runtime.host.step_time.kind == "calibrated"


def test_an_item_of_a_list_inherits_by_its_name(tmp_path: Path) -> None:
    levels = {level.name: level for level in load_system("rngd-plus-max").server.fabric.levels}
    base = {level.name: level for level in load_system("rngd").server.fabric.levels}
    assert list(levels) == ["die to die", *base]
    assert levels["sockets"] == base["sockets"]
    assert levels["PCIe root complex"] == base["PCIe root complex"].model_copy(update={"port": "group"})
    wrong = "inherits: rngd\nserver: {fabric: {levels: [{inherits: sofa}]}}\n"
    with pytest.raises(UserError, match="'sofa' is none of PCIe root complex, sockets"):
        load_system(_write(tmp_path, "wrong", wrong))


def test_their_stream_rate_is_that_of_their_dram_under_their_map() -> None:
    memory = load_system("rngd-plus").chip.memory
    assert memory.address_map is not None
    found = stream_efficiency(load_memory("hbm3e-9600-36gb"), memory.address_map, 256, Stream.contiguous(256))
    assert memory.stream_efficiency.value == pytest.approx(found, abs=1e-6)
    assert memory.stream_efficiency.value == pytest.approx(0.757, abs=0.001)


@pytest.mark.parametrize(("arch", "chips", "cards"), [("rngd", 1, 8), ("rngd-plus-max", 2, 8), ("rngd-2-server", 2, 8)])
def test_show_tells_figures_by_scope(arch: str, chips: int, cards: int) -> None:
    per = describe(arch)["per"]
    assert list(per) == ["chip", "card", "server"]
    for name, value in per["chip"].items():
        assert per["card"][name] == pytest.approx(chips * value)
        assert per["server"][name] == pytest.approx(chips * cards * value)


def test_show_counts_where_numbers_come_from() -> None:
    assert "origins" not in describe("rngd")
    found = describe("rngd-plus")["origins"]
    assert found["base"] == "rngd"
    assert found["inherited_calibrated"] == 28
    assert found["replaced"] == 16 and found["added"] == 0, "its own server among them"
    assert describe("rngd-plus", uncalibrated=True)["origins"]["inherited_calibrated"] == 0


def _best_step(arch: str, model: str, cards: int, users: int, software: str) -> tuple[float, float, float]:
    """Seconds of a decode step with the host and without, under the best plan on that many cards, and the host's own
    step time."""
    base, found = deploy(arch, model, precision="fp8", cards=cards, software=software), []
    for plan in all_plans(base.system, base.model, cards):
        where, each = base.under(plan), -(-users // plan.data_parallel)
        if plan.cards == cards and where.fitting.holds(plan, each * 1280):
            engine = AnalyticEngine(where, max_sequences=each)
            device = engine.cost(decode([1152] * each)).time_s
            host = exposed_host_time(device, each, engine.logit_bytes, where.machine[0], where.runtime_record[0])
            found.append((device + host, device))
    return *min(found), base.runtime.host.step_time.value


@pytest.mark.parametrize("software", STATES)
@pytest.mark.parametrize("users", [1, 64])
@pytest.mark.parametrize(
    ("model", "cards"),
    [("llama-3.1-8b", 1), ("exaone-4.0-32b", 1), ("llama-3.3-70b", 4), ("qwen2.5-0.5b", 1), ("gpt-oss-20b", 1)],
)
def test_rngd_plus_max_is_faster_than_rngd_or_waits_for_the_host(
    model: str, cards: int, users: int, software: str
) -> None:
    """Under the same software the device is faster with every model; the host's step time may hide that, and is then
    the same on both."""
    whole, device, host = zip(
        *(_best_step(arch, model, cards, users, software) for arch in ("rngd", "rngd-plus-max")), strict=True
    )
    assert device[1] < device[0]
    assert host[0] == host[1]
    assert whole[1] < whole[0] or (device[0] < host[0] and whole[1] == pytest.approx(whole[0], rel=1e-3))


def test_the_die_to_die_link_is_a_design_choice() -> None:
    """A wider link shortens a prompt over both dies, where its time is not hidden behind that of their products; RNGD,
    which has none, has no such number."""
    system = load_system("rngd-plus-max")
    path, seconds = "server.fabric.levels.die to die.link.bandwidth", []
    known = {each.path: each.quantity for each in provenances("", system)}
    assert known[path].low == 0.25e12 and known[path].high == 2.6e12
    assert path not in {each.path for each in provenances("", load_system("rngd"))}
    where = deploy("rngd-plus-max", "llama-3.1-8b", precision="fp8")
    hidden = "server.fabric.overlap"
    for rate in (0.05e12, 0.25e12, 2.6e12):
        changes = {path: known[path].model_copy(update={"value": rate, "low": rate})}
        altered = with_quantities(system, changes | {hidden: known[hidden].model_copy(update={"value": 0.0})})
        placed = replace(where, system=altered, machine=build_machine(altered)).under(where.plan)
        seconds.append(AnalyticEngine(placed).cost(prefill(1, 1024)).time_s)
    assert seconds[0] > seconds[1] > seconds[2]
