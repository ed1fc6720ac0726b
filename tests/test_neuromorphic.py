"""Event-driven units: bounds against closed forms by hand, readings of claims, hybrids, and targets of proposals."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.answers.hybrid import layered_answer
from npusim.answers.neuromorphic import Claimed, SpikingNetwork, judged_claim, judged_network, operations_per_s
from npusim.answers.peaks import peak_ops_per_s
from npusim.bounds.event_driven import IMPOSSIBLE, NOT_DECIDABLE, WITHIN, Ends, RateBound, bounds_of, judge_rate
from npusim.explore.evaluate.event_driven import EventDriven, judged_event
from npusim.explore.evaluate.proposal import load_proposal
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import Item, load_rule, score_of
from npusim.explore.evaluate.target_page import target_blocks
from npusim.explore.evaluate.target_table import Target
from npusim.explore.evaluate.worlds_best import NOT_KNOWN, ComparedWithWorldsBest
from npusim.explore.evaluate.yearly import JudgedTarget, JudgedYear
from npusim.hardware.catalog import load_neuromorphic, load_system, shipped_neuromorphic
from npusim.hardware.neuromorphic import Neuromorphic
from npusim.report.page import Table
from npusim.words import speaker
from npusim.workload.layered import LayeredNetwork


def _told(value: str | int, **more: Any) -> dict[str, Any]:
    return {"value": value, "kind": "datasheet", "source": "this test", **more}


WHOLE: dict[str, Any] = {
    "name": "whole",
    "title": "Everything told",
    "silicon": False,
    "cores": _told(4),
    "neurons_per_core": _told(256),
    "synapse": _told("4 bit"),
    "memory": {
        "place": "read",
        "capacity": _told("64 kB"),
        "bandwidth": _told("100 GB/s"),
        "operations_per_read": _told(1),
    },
    "energy": _told("10 pJ/op"),
    "idle": _told("1 W"),
    "power_limit": _told("5 W"),
    "mesh": {"links": _told(8), "link_rate": _told("100 Mpacket/s"), "hops": _told(2)},
}


def _unit(**changes: Any) -> Neuromorphic:
    return Neuromorphic.model_validate({key: value for key, value in (WHOLE | changes).items() if value is not None})


def _found(unit: Neuromorphic, fan_in: float | None = 100.0, **more: float | None) -> dict[str, RateBound]:
    found = bounds_of(unit, more.get("width"), fan_in, more.get("limit"))
    return {each.name: each for each in found}


def _most(bound: RateBound) -> float:
    assert bound.most is not None
    return bound.most.value


def test_bounds_are_those_of_the_closed_forms() -> None:
    found = _found(_unit())
    assert _most(found["synapse memory"]) == pytest.approx(100e9 / 0.5)
    assert _most(found["mesh"]) == pytest.approx(100 * 8 * 100e6 / 2)
    assert _most(found["power"]) == pytest.approx(4.0 / 10e-12)
    assert not found["stated peak"].applies
    wide = _found(_unit(), width=8.0, limit=2.0)
    assert _most(wide["synapse memory"]) == pytest.approx(100e9)
    assert _most(wide["power"]) == pytest.approx(1e11)
    by_bytes = {"links": _told(8), "link_bandwidth": _told("400 MB/s"), "packet": _told("32 bit"), "hops": _told(2)}
    assert _most(_found(_unit(mesh=by_bytes))["mesh"]) == pytest.approx(_most(found["mesh"]))


@given(st.floats(0.1, 10.0))
def test_bandwidth_moves_the_bound_of_the_memory_alone(factor: float) -> None:
    memory = WHOLE["memory"] | {"bandwidth": _told(f"{100 * factor!r} GB/s")}
    one, other = _found(_unit()), _found(_unit(memory=memory))
    assert _most(other["synapse memory"]) == pytest.approx(factor * _most(one["synapse memory"]))
    assert [other[name].most for name in ("mesh", "power")] == [one[name].most for name in ("mesh", "power")]


@given(st.floats(1.0, 4.0), st.floats(1.0, 4.0))
def test_ranges_only_widen_a_bound(down: float, up: float) -> None:
    ranged = _told("10 pJ/op", low=f"{10 / down!r} pJ/op", high=f"{10 * up!r} pJ/op")
    found = _found(_unit(energy=ranged))["power"].most
    assert found is not None
    assert found.low == pytest.approx(4e11 / up) and found.high == pytest.approx(4e11 * down)


@pytest.mark.parametrize(
    ("key", "name", "need"),
    [
        ("synapse", "synapse memory", "synapse"),
        ("memory", "synapse memory", "memory.bandwidth"),
        ("mesh", "mesh", "mesh.links"),
        ("energy", "power", "energy"),
        ("power_limit", "power", "power_limit"),
        ("idle", "power", "idle"),
    ],
)
def test_what_is_untold_is_not_decidable_and_named(key: str, name: str, need: str) -> None:
    bounds = bounds_of(_unit(**{key: None}), None, 100.0, None)
    (lacking,) = [each for each in bounds if each.needs]
    assert lacking.name == name and lacking.most is None and need in lacking.needs
    found = judge_rate(Ends.exact(1e9), bounds)
    assert found.verdict == NOT_DECIDABLE and need in found.needs
    assert judge_rate(Ends.exact(1e9), bounds_of(_unit(), None, 100.0, None)).verdict == WITHIN


def test_an_untold_idle_power_leaves_a_ceiling_and_no_more() -> None:
    bounds = bounds_of(_unit(idle=None), None, 100.0, None)
    (power,) = [each for each in bounds if each.name == "power"]
    assert power.most is None and power.ceiling == pytest.approx(5e11)
    assert judge_rate(Ends.exact(6e11), bounds).broken == ("synapse memory", "mesh", "power")


def test_weights_in_compute_are_not_read() -> None:
    unit = _unit(memory={"place": "in compute"})
    assert not _found(unit)["synapse memory"].applies
    assert judge_rate(Ends.exact(3e10), bounds_of(unit, None, 100.0, None)).verdict == WITHIN
    with pytest.raises(ValueError, match="are not read"):
        _unit(memory={"place": "in compute", "bandwidth": _told("1 GB/s")})


@pytest.mark.parametrize("name", shipped_neuromorphic())
def test_a_published_chip_is_not_accused_at_its_own_peak(name: str) -> None:
    unit = load_neuromorphic(name)
    if unit.peak is None:
        assert not _found(unit)["stated peak"].applies, "no peak is published of it, and none is guessed"
        return
    bounds = bounds_of(unit, None, 100.0, None)
    for counted in ("spikes", "synapses"):
        claim = judged_claim(Claimed(unit.peak.value, counted, 1, None), bounds)  # type: ignore[arg-type]
        assert claim["verdict"] == NOT_DECIDABLE and not claim["broken"]
    twice = judged_claim(Claimed(2.1 * (unit.peak.high or unit.peak.value), "spikes", None, None), bounds)
    assert twice["verdict"] == IMPOSSIBLE and twice["broken"] == ["stated peak"]


def test_a_claim_is_read_in_every_way_that_it_leaves_open() -> None:
    bounds = bounds_of(_unit(), None, 100.0, None)
    limit = 4e10
    every = judged_claim(Claimed(1.5 * limit, None, None, None), bounds)
    assert [each["verdict"] for each in every["readings"]] == [IMPOSSIBLE, WITHIN, NOT_DECIDABLE, WITHIN]
    assert every["verdict"] == NOT_DECIDABLE
    assert set(every["needs"]) == {"counted", "operations per synapse", "activity"}
    assert judged_claim(Claimed(1.5 * limit, "spikes", 1, None), bounds)["verdict"] == IMPOSSIBLE
    dense = judged_claim(Claimed(10 * limit, "synapses", 1, None), bounds)["readings"][0]
    assert dense["holds_to_activity"]["value"] == pytest.approx(0.1)
    for activity, verdict in ((0.09, WITHIN), (0.11, IMPOSSIBLE)):
        found = judged_claim(Claimed(10 * limit, "synapses", 1, activity), bounds)
        assert found["verdict"] == verdict and found["readings"][0]["synaptic_ops_per_s"] == 10 * limit * activity


@given(st.floats(0.01, 0.5))
def test_activity_moves_traffic_and_operations_and_no_dense_ones(activity: float) -> None:
    unit = _unit()
    bounds = bounds_of(unit, None, 100.0, None)
    one, two = (
        judged_network(SpikingNetwork(1000, 100.0, part, 1e3), unit, None, bounds) for part in (activity, 2 * activity)
    )
    for key in ("spikes_per_step", "spikes_per_s", "synaptic_ops_per_s"):
        assert two[key] == pytest.approx(2 * one[key])
    assert two["dense_equivalent_ops_per_s"] == one["dense_equivalent_ops_per_s"] == 2 * 1000 * 100 * 1e3
    assert two["highest_rate_hz"]["value"] == pytest.approx(one["highest_rate_hz"]["value"] / 2)
    assert one["synaptic_ops_per_s"] == pytest.approx(1000 * 100 * activity * 1e3)
    assert one["power_w"]["value"] == pytest.approx(1.0 + one["synaptic_ops_per_s"] * 10e-12)


def test_a_network_needs_room_and_every_number() -> None:
    unit = _unit()
    bounds = bounds_of(unit, None, 100.0, None)
    assert judged_network(SpikingNetwork(1024, 100.0, 0.1, 1e3), unit, None, bounds)["verdict"] == WITHIN
    crowded = judged_network(SpikingNetwork(1025, 100.0, 0.1, 1e3), unit, None, bounds)
    assert crowded["verdict"] == IMPOSSIBLE and crowded["fits"] == {"neurons": "no", "memory": "yes"}
    full = judged_network(SpikingNetwork(1000, 129.0, 0.1, 1e3), unit, None, bounds)
    assert full["fits"]["memory"] == "no", "129,000 synapses of 4 bits are more than 64 kB"
    untold = judged_network(SpikingNetwork(1000, None, None, None), unit, None, bounds)
    assert untold["verdict"] == NOT_DECIDABLE and untold["needs"] == ["fan-in", "activity", "rate of steps"]


def test_rates_are_read_as_people_write_them() -> None:
    assert [operations_per_s(text) for text in ("1 POPS", "46 GSOPS", "5e14 op/s", "2Top/s")] == [
        1e15,
        46e9,
        5e14,
        2e12,
    ]
    for text in ("1", "1 GB/s", "0 POPS", "nan POPS", "-1 POPS"):
        assert "--claim" in mistake("neuromorphic", "truenorth", f"--claim={text}")


LAYERS: dict[str, Any] = {
    "name": "two",
    "steps": 4,
    "operand": "int8",
    "order": "one after another",
    "event_below": 0.2,
    "layers": [
        {"name": "first", "synapses": 10**9, "weights": 10**6, "fan_out": 100, "activity": 0.5},
        {"name": "second", "synapses": 10**9, "weights": 10**6, "fan_out": 100, "activity": 0.1},
    ],
}


def _hybrid(**changes: Any) -> dict[str, Any]:
    network = LayeredNetwork.model_validate(LAYERS | changes)
    return layered_answer(network, _unit(), load_system("rngd"), None, None)


def test_a_hybrid_adds_up_or_overlaps_as_it_says() -> None:
    found = _hybrid()
    dense = 2e9 / peak_ops_per_s(load_system("rngd"))["int8"]
    event = 4 * 1e9 * 0.1 / 4e10
    assert [row["unit"] for row in found["layers"]] == ["dense", "event-driven"]
    assert found["least_s"]["value"] == pytest.approx(dense + event)
    assert (found["layers"][1]["bound"], found["binding"]) == ("mesh", "event-driven")
    assert _hybrid(order="at the same time")["least_s"]["value"] == pytest.approx(max(dense, event))
    assert _hybrid(steps=8)["dense_s"] == found["dense_s"], "dense layers run once"
    assert _hybrid(steps=8)["event_s"]["value"] == pytest.approx(2 * event)


def test_a_layer_of_no_unit_leaves_the_time_undecided() -> None:
    bare = [{key: value for key, value in LAYERS["layers"][0].items() if key != "activity"}, LAYERS["layers"][1]]
    found = _hybrid(layers=bare)
    assert found["least_s"] is None and found["undecided_layers"] == ["first"] and found["needs"] == ["activity"]
    with pytest.raises(ValueError, match="every layer names its unit"):
        _hybrid(layers=[layer | {"unit": "dense"} for layer in LAYERS["layers"]])


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(WHOLE), encoding="utf-8")
    return tmp_path / "proposal.yaml"


def _verdict(whole: Path, value: float, unit: str = "GSOPS", **told: Any) -> str:
    return judged_event(EventDriven.model_validate({"event_unit": "whole.yaml", **told}), value, unit, whole).verdict


def test_targets_are_judged_by_the_bounds(whole: Path) -> None:
    told = {"fan_in": 100.0, "counted": "spikes", "operations": 1}
    assert _verdict(whole, 39.0, **told) == WITHIN and _verdict(whole, 41.0, **told) == IMPOSSIBLE
    assert _verdict(whole, 39.0, counted="spikes", operations=1) == NOT_DECIDABLE, "the mesh is not bounded"
    assert _verdict(whole, 41.0, fan_in=100.0) == NOT_DECIDABLE, "with two operations a synapse it holds"
    assert _verdict(whole, 41.0, fan_in=100.0, operations=2) == WITHIN
    least = _hybrid()["least_s"]["value"] * 1e3
    hybrid = {"dense": "rngd", "network": LAYERS}
    assert _verdict(whole, 1.01 * least, "ms", **hybrid) == WITHIN
    assert _verdict(whole, 0.99 * least, "ms", **hybrid) == IMPOSSIBLE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "GB/s"}, "does not measure"),
        ({"years": [{"year": 2029, "at_most": 1.0}]}, "is at_least"),
        ({"claim": "speed"}, "take claim and not_decidable out"),
        ({"event_driven": {"event_unit": "truenorth", "dense": "rngd"}}, "go together"),
    ],
)
def test_a_target_that_cannot_be_judged_is_a_mistake(changes: dict[str, Any], message: str) -> None:
    target = {
        "item": "rate",
        "unit": "POPS",
        "weight_percent": 100.0,
        "event_driven": {"event_unit": "truenorth"},
        "years": [{"year": 2029, "at_least": 1.0}],
    }
    assert Target.model_validate(target).event_driven is not None
    with pytest.raises(ValueError, match=message):
        Target.model_validate(target | changes)


def test_an_impossible_target_earns_nothing() -> None:
    rule = load_rule("expected-weight")
    assert score_of([Item(50.0, None)], rule) is None
    lost = score_of([Item(50.0, None, lost=True), Item(50.0, None)], rule)
    assert lost is not None and (lost.value, lost.high, lost.decidable_percent) == (0.0, 0.0, 50.0)


def test_the_calls_templates_say_why() -> None:
    folder = Path(__file__).resolve().parents[1] / "validation" / "proposals" / "templates"
    proposal = load_proposal(folder / "neuromorphic-1pops.yaml")
    told = [each for each in proposal.targets if each.event_driven is not None]
    found = [
        judged_event(each.event_driven, each.years[-1].value, each.unit, folder / "x.yaml")
        for each in told
        if each.event_driven is not None
    ]
    assert [each.verdict for each in found] == [NOT_DECIDABLE, IMPOSSIBLE, WITHIN]
    assert "counted, operations per synapse, activity" in str(found[0].reason) and "power" in str(found[1].reason)


def test_every_year_of_the_page_has_its_own_reason(whole: Path) -> None:
    target = Target.model_validate(
        {
            "item": "rate",
            "unit": "GSOPS",
            "weight_percent": 100.0,
            "event_driven": {"event_unit": "whole.yaml", "counted": "spikes", "operations": 1, "fan_in": 100.0},
            "years": [{"year": 2028, "at_least": 1.0}, {"year": 2029, "at_least": 100.0}],
        }
    )
    told = target.event_driven
    assert told is not None
    years = tuple(
        JudgedYear(each, None, 1.0, judged_event(told, each.value, target.unit, whole)) for each in target.years
    )
    judged = JudgedTarget(target, None, years, ComparedWithWorldsBest(NOT_KNOWN, None, ()))
    (table, _) = target_blocks(cast(Evaluation, SimpleNamespace(targets=[judged])), speaker("en"))
    assert isinstance(table, Table)
    assert [row[6] for row in table.rows] == [WITHIN, IMPOSSIBLE]
    assert "every bound leaves it" in table.rows[0][7] and "breaks mesh" in table.rows[1][7]


def test_the_command_tells_all(tmp_path: Path) -> None:
    told = tell("neuromorphic", "truenorth", "--claim", "58 GSOPS", "--json").json
    assert told["binding"] == "stated peak" and told["undecided"] == ["synapse memory", "mesh", "power"]
    assert told["claim"]["verdict"] == NOT_DECIDABLE and told["network"] is None and told["manifest"]
    assert all(math.isfinite(each["ceiling_ops_per_s"] or 0.0) for each in told["bounds"])
    assert "did you mean 'truenorth'" in mistake("neuromorphic", "truenort")
    assert "--dense" in mistake("neuromorphic", "truenorth", "--layers", tmp_path / "none.yaml")
    assert "applies to a claim or a network" in mistake("neuromorphic", "truenorth", "--activity", "0.1")
    assert "applies to --claim alone" in mistake("neuromorphic", "truenorth", "--counted", "spikes")
