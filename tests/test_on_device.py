"""A device of one user: what its cooling sustains, how long a burst lasts, joules, battery, and what is not told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from npusim import api
from npusim.errors import UserError
from npusim.hardware.catalog import load_system
from npusim.hardware.thermal import mean_power_w, seconds_to_limit, sustainable_w

EXAMPLE = Path(__file__).parent.parent / "examples" / "on-device-20b" / "device.yaml"
MODEL = "qwen2.5-0.5b"
ASKED: dict[str, Any] = {"precision": "w4a16", "isl": 256, "osl": 64, "concurrency": 1}

positive = st.floats(0.1, 100.0)


@given(power=positive, rest=positive, room=positive, resistance=positive, capacity=positive)
def test_the_time_until_a_limit_is_that_of_the_first_order(
    power: float, rest: float, room: float, resistance: float, capacity: float
) -> None:
    """Put into the exponential it gives the limit; below what is sustained there is no such time."""
    time_s = float(seconds_to_limit(power, rest, room, resistance, capacity))
    most = float(sustainable_w(room, resistance))
    if power <= most:
        assert time_s == math.inf
    elif rest >= most:
        assert time_s == 0.0
    else:
        rise = resistance * (power + (rest - power) * math.exp(-time_s / (resistance * capacity)))
        assert rise == pytest.approx(room, rel=1e-6)


def test_a_mean_over_use_and_rest_lies_between_them() -> None:
    assert list(mean_power_w(8.0, 2.0, np.array([0.0, 0.5, 1.0]))) == [2.0, 5.0, 8.0]


def described(folder: Path, changes: dict[str, Any], name: str = "device") -> str:
    """The example with other parts; `changes` by dotted path."""
    told = yaml.safe_load(EXAMPLE.read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = told
        for key in parents:
            part = part[int(key)] if isinstance(part, list) else part[key]
        if value is None:
            part.pop(last, None)
        elif isinstance(part.get(last), dict) and "value" in part[last]:
            part[last] = {"value": value, "kind": "derived", "source": "a test"}
        else:
            part[last] = value
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(told, allow_unicode=True))
    return str(file)


@pytest.fixture(scope="module")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Answers of runs on the example with changes, each run once."""
    folder, known = tmp_path_factory.mktemp("devices"), {}

    def of(**changes: Any) -> dict[str, Any]:
        key = tuple(sorted(changes.items(), key=str))
        if str(key) not in known:
            paths = {name.replace("__", "."): value for name, value in changes.items()}
            arch = described(folder, paths, f"d{len(known)}")
            known[str(key)] = api.run(arch, MODEL, **ASKED).answer
        return known[str(key)]

    return of


def test_cooling_moves_what_is_sustained_and_not_the_burst(tell: Any) -> None:
    """Half the resistance of the path that limits sustains twice the power, less what else warms it."""
    base, cooler = tell(), tell(device__thermal__paths__1__resistance="2.25 K/W")
    own, other = base["device"], cooler["device"]
    assert own["throttles"] and own["limited_by"] == "skin"
    assert own["sustainable_power_w"] == pytest.approx(18.0 / 4.5 - 1.2)
    assert other["sustainable_power_w"] == pytest.approx(18.0 / 2.25 - 1.2)
    assert other["sustained"]["tpot_ms"] < own["sustained"]["tpot_ms"]
    assert other["sustained"]["output_tokens_per_s"] > own["sustained"]["output_tokens_per_s"]
    assert other["burst"] == own["burst"] and cooler["tpot_ms"] == base["tpot_ms"]
    assert other["joules_per_answer"] == own["joules_per_answer"]


def test_a_device_that_stays_cool_never_throttles(tell: Any) -> None:
    told = tell(device__thermal__paths__1__resistance="0.5 K/W", device__thermal__paths__0__resistance="0.5 K/W")
    found = told["device"]
    assert found["throttles"] is False and found["throttles_after_s"] is None and found["limited_by"] is None
    assert found["sustained"]["tpot_ms"] == found["burst"]["tpot_ms"]
    assert found["sustained"]["power_w"] == found["burst"]["power_w"] < found["sustainable_power_w"]


def test_heat_capacity_moves_the_time_alone(tell: Any) -> None:
    own, other = tell()["device"], tell(device__thermal__paths__1__capacity="300 J/K")["device"]
    assert other["throttles_after_s"] == pytest.approx(2.0 * own["throttles_after_s"])
    assert {**other, "throttles_after_s": 0} == {**own, "throttles_after_s": 0}


def test_a_battery_moves_hours_and_answers_alone(tell: Any) -> None:
    own, other = tell(), tell(device__battery__energy="38 Wh")
    half, whole = own["device"], other["device"]
    for name in ("continuous", "at_duty"):
        assert whole["battery_hours"][name] == pytest.approx(2.0 * half["battery_hours"][name])
    assert whole["answers_per_charge"] == pytest.approx(2.0 * half["answers_per_charge"])
    skipped = {"battery_hours": 0, "answers_per_charge": 0}
    assert {**half, **skipped} == {**whole, **skipped}
    assert {**own, "device": 0, "conditions": 0} == {**other, "device": 0, "conditions": 0}


def test_hours_and_joules_are_closed_forms(tell: Any) -> None:
    """Of a device that never throttles, whose burst lasts: everything follows from its watts."""
    answer = tell(device__thermal__paths__1__resistance="0.5 K/W", device__thermal__paths__0__resistance="0.5 K/W")
    found, watts = answer["device"], answer["power_w"]["mean"]
    seconds = answer["duration_s"] / answer["requests"]
    charge = 19 * 3600 * 0.85
    assert found["joules_per_answer"]["card"] == pytest.approx(watts * seconds)
    assert found["joules_per_answer"]["device"] == pytest.approx((watts + 1.2) * seconds)
    assert found["answers_per_charge"] == pytest.approx(charge / ((watts + 1.2) * seconds))
    assert found["battery_hours"]["continuous"] == pytest.approx(charge / (watts + 1.2) / 3600)
    idle = load_system(str(EXAMPLE)).chip.power.idle.value
    mean = idle + 0.05 * (watts - idle) + 1.2
    assert found["battery_hours"]["at_duty"] == pytest.approx(charge / mean / 3600)


def test_a_host_that_shares_the_memory_slows_streams_and_not_arithmetic(tmp_path: Path) -> None:
    alone, shared = (described(tmp_path, {"chip.memory.host_share": part}, f"s{part}") for part in (0, 0.5))
    found = {}
    for phase, asked in {"decode": {"batch": 1, "context": 512}, "prefill": {"batch": 1, "context": 4096}}.items():
        told = [
            api.step(arch, "qwen2.5-1.5b", phase=phase, precision="w4a16", **asked).answer for arch in (alone, shared)
        ]
        found[phase] = [each["breakdown_us"] for each in told]
    assert found["decode"][1]["memory"] > 1.9 * found["decode"][0]["memory"]
    assert found["prefill"][1]["contraction"] == pytest.approx(found["prefill"][0]["contraction"], rel=0.02)


def test_what_is_not_told_is_unknown(tell: Any) -> None:
    """Nothing is guessed: figures that need it are null, each with a sentence; burst and card's joules stand."""
    bare = tell(device={})["device"]
    assert bare["throttles"] is None and bare["sustained"] == dict.fromkeys(bare["sustained"])
    assert bare["answers_per_charge"] is None and bare["battery_hours"] == {"continuous": None, "at_duty": None}
    assert bare["joules_per_answer"]["device"] is None and bare["joules_per_answer"]["card"] > 0.0
    assert bare["burst"] == tell()["device"]["burst"]
    assert len(bare["unknown"]) == 4 and "device.thermal" in bare["unknown"][0]
    beside = tell(device__beside=None)["device"]
    assert beside["throttles"] is None, "the skin is warmed by what the device draws besides"


def test_without_a_device_nothing_is_told_of_one(tell: Any) -> None:
    with_one, without = tell(), tell(device=None)
    assert "device" not in without
    assert {**with_one, "device": 0, "conditions": 0} == {**without, "device": 0, "conditions": 0}


@pytest.mark.parametrize("arch", ["dx-m1", "dx-m2", "aries", "regulus", "lpddr5x-pim"])
def test_shipped_devices_guess_no_cooling(arch: str) -> None:
    device = load_system(arch).device
    assert device is not None and device.thermal is None and device.battery is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device.thermal.ambient": "50 degC"}, "does not stay above ambient"),
        ({"device.thermal.paths.0.resistance": "6 W/K"}, "not a unit of K/W"),
        ({"device.thermal.paths.1.name": "junction"}, "two paths have one name"),
        ({"device.battery.energy": "5000 mAh"}, "unknown unit"),
        ({"device.duty": 1.5}, "out of range"),
        ({"device.thermal.ambient": "298 K"}, "not a unit of degC"),
        ({"chip.memory.host_share": 1}, "out of range"),
    ],
)
def test_mistakes_name_their_key(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_system(described(tmp_path, changes))


def test_the_grid_has_its_columns_and_ranges(tmp_path: Path) -> None:
    """Ranges hold their figures, in order; a chip in no device has none of the columns."""
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "name: g\ntitle: g\nsource: a test\narrival: closed\nrequests_per_user: 1\n"
        "points: [{isl: 64, osl: 16, users: [1]}]\n"
    )
    found = api.kperf([str(EXAMPLE), "tpu-v5e"], [MODEL], str(grid), precision="w4a16", workers=1)
    row = found[0].cells.iloc[0]
    for name in ("sustained_tokens_per_s", "sustainable_w", "card_j_per_answer", "battery_h_at_duty"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert row[f"{name}_low"] < row[f"{name}_high"]
    assert row["device_limit"] == "skin"
    assert "device_limit" not in found[1].cells and "sustainable_w" not in found[1].cells


def test_what_is_not_told_of_a_device_has_its_reason(tmp_path: Path) -> None:
    """A plan of several chips and several instances; a window of the event engine is told as any other run."""
    several = described(tmp_path, {"server.max_cards": 2}, "two")
    told = api.run(several, MODEL, **ASKED, tensor_parallel=2, cards=2).answer
    assert list(told["device"]) == ["reason"] and "one chip" in told["device"]["reason"]
    spread = api.run(str(EXAMPLE), MODEL, **ASKED | {"concurrency": 2}, instances=2).answer
    assert list(spread["device"]) == ["reason"] and "instances" in spread["device"]["reason"]
    short = ASKED | {"isl": 16, "osl": 4, "requests": 1}
    window = api.run(str(EXAMPLE), MODEL, **short, engine="event").answer["device"]
    whole = api.run(str(EXAMPLE), MODEL, **short).answer["device"]
    assert window.keys() == whole.keys()
    assert window["sustainable_power_w"] == whole["sustainable_power_w"]
