"""What a designer asks of a sweep: coupled numbers, joint values, words, conditions, and cells that cannot be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.elasticity import elasticities, elasticities_by
from npusim.engine.event.engine import EventEngine
from npusim.errors import UserError
from npusim.explore.formula import parse
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.run import SweepResult, run_sweep
from npusim.explore.sweep.spec import SweepSpec, load_spec
from npusim.mapping.deployment import Deployment, deploy
from npusim.workload.step import Step, decode, prefill

SPEC = {
    "name": "coupled",
    "arch": "rngd",
    "models": ["qwen2.5-0.5b"],
    "workloads": [{"isl": 256, "osl": 32, "users": [4]}],
    "vary": {"chip.unit.clock": {"values": ["1 GHz", "1.5 GHz"]}},
    "objectives": {"output_tokens_per_s": "max", "area_proxy_mm2": "min"},
}
ROOT = Path(__file__).resolve().parents[1]


def _swept(folder: Path, **changes: object) -> tuple[SweepResult, pd.DataFrame]:
    found = run_sweep(SweepSpec.model_validate(SPEC | changes), "sweep.yaml", folder, Backend())
    return found, pd.read_csv(folder / "points.csv", keep_default_na=True, na_values=[""])


@given(
    st.recursive(
        st.one_of(st.sampled_from(["a", "b.c"]), st.integers(1, 9).map(str)),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        max_leaves=8,
    )
)
def test_a_formula_is_the_arithmetic_that_it_says(text: str) -> None:
    values = {"a": 3.0, "b.c": 0.5}
    plain = eval(text.replace("b.c", "0.5").replace("a", "3.0"), {}) if _defined(text) else math.nan
    found = float(parse(text).of(values))
    assert found == pytest.approx(plain, rel=1e-12, nan_ok=True) or not math.isfinite(found)


def _defined(text: str) -> bool:
    try:
        eval(text.replace("b.c", "0.5").replace("a", "3.0"), {})
    except ZeroDivisionError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    ["__import__('os').remove('x')", "a.b()", "(lambda: 1)()", "[1]", "a if a else b", "'x' * 9", "a and b", "a[0]",
     "max(1)", "open", "1 +", "(" * 399, "9" * 399 + "9", "a := 1", "f'{a}'", "True"],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    if text == "open":
        assert parse(text).names == ("open",), "a name is looked up among numbers alone"
        return
    with pytest.raises(ValueError, match=r"formula|takes"):
        parse(text)


def test_numbers_follow_others(tmp_path: Path) -> None:
    """Twice the stacks with twice the clusters; a name may be the end of a path, and its own one is its usual value."""
    coupled = {"chip.memory.stacks": "clusters", "chip.power.cap": "cap * clusters / 2"}
    clusters = {"values": [1, 2, 4], "with": coupled}
    found, table = _swept(tmp_path, vary={"chip.unit.clusters": clusters})
    assert found.points == 3 and table["chip.memory.stacks"].tolist() == [1.0, 2.0, 4.0]
    assert table["chip.power.cap"].tolist() == [175.0, 350.0, 700.0]
    for row in table.to_dict("records"):
        base = deploy("rngd", "qwen2.5-0.5b")
        machine = base.machine.copy()
        machine["tcp_clusters"] = machine["memory_stacks"] = row["chip.unit.clusters"]
        machine["power_cap"] = row["chip.power.cap"]
        own = base.with_records(machine, base.runtime_record)
        engine = AnalyticEngine(own)
        step = engine.with_host(engine.cost(decode([272] * 4)), 4)
        assert row["decode_ms"] == pytest.approx(step.time_s * 1e3)


def test_tables_give_joint_values_and_words(tmp_path: Path) -> None:
    """A DRAM standard with its channel rate: the rate of streams is that of the standard at the chip's address map."""
    rows = [
        {"chip.memory.dram": "hbm3-6000", "chip.memory.channel_bandwidth": "48 GB/s"},
        {"chip.memory.dram": "hbm3e-9600", "chip.memory.channel_bandwidth": "76.8 GB/s"},
    ]
    vary = SPEC["vary"] | {"runtime.host.step_time": {"values": ["1 ms"]}}
    found, table = _swept(tmp_path, tables={"memory": rows}, vary=vary)
    assert found.points == 4 and not found.refused
    assert table["chip.memory.dram"].tolist() == ["hbm3-6000", "hbm3e-9600"] * 2
    rated = table.groupby("chip.memory.dram")["decode_ms"].mean()
    assert rated["hbm3e-9600"] < rated["hbm3-6000"]
    plain = _swept(tmp_path / "plain", vary=vary)[1]
    assert table["decode_ms"][::2].tolist() == pytest.approx(plain["decode_ms"].tolist()), "the chip's own stays it"
    assert set(pd.read_csv(tmp_path / "effects.csv")["axis"]) == {*vary, "memory"}


def test_words_are_axes(tmp_path: Path) -> None:
    vary = {
        "runtime.kv.precision": {"values": ["bf16", "fp8"]},
        "runtime.activations_in_sram": {"values": [True, False]},
    }
    _, table = _swept(tmp_path, vary=vary, serving={"requests_per_user": 1})
    assert table["runtime.kv.precision"].tolist() == ["bf16", "bf16", "fp8", "fp8"]
    assert table["served_output_tokens_per_s"].notna().all()


def test_one_cell_that_cannot_be_ends_nothing(tmp_path: Path) -> None:
    """Members that do not join the cards, a precision that the chip cannot multiply, a model without room."""
    vary = {
        "server.fabric.levels.sockets.members": {"values": [1, 2]},
        "chip.memory.usable_capacity": {"values": ["5 GB", "40 GB"]},
    }
    found, table = _swept(tmp_path, vary=vary, precisions=["bf16", "mxfp4"])
    counted = table["refusal"].dropna().value_counts().to_dict()
    assert found.refused == counted and sum(counted.values()) < found.points
    assert any("the levels of" in reason for reason in counted)
    alive = table[table["refusal"].isna()]
    assert len(alive) and alive["output_tokens_per_s"].notna().all()
    assert table[table["refusal"].notna()]["output_tokens_per_s"].isna().all()


def test_a_formula_that_leaves_a_number_what_it_cannot_be_refuses_the_cell(tmp_path: Path) -> None:
    clusters = {"values": [1, 2], "with": {"chip.memory.stacks": "1.5 * clusters"}}
    found, table = _swept(tmp_path, vary={"chip.unit.clusters": clusters})
    assert list(found.refused.values()) == [1] and "whole number" in next(iter(found.refused))
    assert table["output_tokens_per_s"].isna().tolist() == [True, False]


def test_what_no_cell_can_be_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision"):
        _swept(tmp_path, precisions=["bf16", "bf17"])
    with pytest.raises(UserError, match=r"with.chip.memory.stacks: 'clutsers'"):
        _swept(tmp_path, vary={"chip.unit.clusters": {"values": [1], "with": {"chip.memory.stacks": "clutsers"}}})
    with pytest.raises(UserError, match=r"follows itself"):
        coupled = {"chip.memory.stacks": "channels_per_stack", "chip.memory.channels_per_stack": "stacks"}
        _swept(tmp_path, vary={"chip.unit.clusters": {"values": [1], "with": coupled}})
    with pytest.raises(UserError, match="constraints: 'speed'"):
        _swept(tmp_path, constraints=["speed <= 3"])
    with pytest.raises(UserError, match="is a word"):
        _swept(tmp_path, vary={"chip.memory.dram": {"low": "1", "high": "2"}}, method="sobol", points=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"constraints": ["power_w"]}, "compares nothing"),
        ({"constraints": ["served_tpot_ms_mean <= 3"]}, "add serving"),
        ({"tables": {"memory": []}}, "needs rows"),
        ({"tables": {"memory": [{"a": 1}, {"b": 1}]}}, "same paths"),
        ({"tables": {"clock": [{"chip.unit.clock": "1 GHz"}]}}, "given twice"),
        ({"vary": {}}, "nothing is varied"),
    ],
)
def test_the_specification_is_checked(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SweepSpec.model_validate(SPEC | change)


def test_conditions_on_numbers_and_metrics_are_kept(tmp_path: Path) -> None:
    vary = SPEC["vary"] | {"runtime.host.step_time": {"values": ["1 ms"]}}
    free, table = _swept(tmp_path / "free", vary=vary)
    middle = float(table["prefill_ms"].mean())
    conditions = [f"prefill_ms <= {middle}", "power_w <= 0.9 * chip.power.cap"]
    held, _ = _swept(tmp_path / "held", vary=vary, constraints=conditions)
    assert (free.kept, held.kept) == (2, 1)
    assert (held.front["prefill_ms"] <= middle).all()


def test_a_point_says_what_moves_it(tmp_path: Path) -> None:
    """The bound of a point is that of its own prompt and decode steps together, its shares sum to one."""
    _, table = _swept(tmp_path)
    shares = table[[name for name in table.columns if name.endswith("_share")]]
    assert shares.sum(axis=1).tolist() == pytest.approx([1.0] * 2)
    where = deploy("rngd", "qwen2.5-0.5b")
    engine = AnalyticEngine(where)
    token, prompt = elasticities(where, engine, decode([272] * 4)), elasticities(where, engine, prefill(1, 256))
    saved = {
        name: 4 * (prompt.time_s - prompt.large[name]) + 31 * (token.time_s - token.large[name]) for name in token.large
    }
    whole = 4 * prompt.time_s + 31 * token.time_s
    best = max(saved, key=lambda name: saved[name])
    assert (table["bound"][0], table["bound_gain"][0]) == (best, pytest.approx(saved[best] / whole))


def test_points_are_costed_by_the_event_engine_where_asked(tmp_path: Path) -> None:
    """Their bound is that engine's too: each resource better by itself, and both steps simulated anew."""
    _, table = _swept(tmp_path, engine="event")
    where = deploy("rngd", "qwen2.5-0.5b")
    analytic = AnalyticEngine(where)
    token, prompt = (
        elasticities_by(where, analytic, step, lambda other, step=step: _simulated_s(other, step))
        for step in (decode([272] * 4), prefill(1, 256))
    )
    assert table["decode_ms"][0] == pytest.approx(token.time_s * 1e3)
    whole = 4 * prompt.time_s + 31 * token.time_s
    gains = {name: 1.0 - (4 * prompt.large[name] + 31 * token.large[name]) / whole for name in token.large}
    best = max(gains, key=lambda name: gains[name])
    assert (table["bound"][0], table["bound_gain"][0]) == (best, pytest.approx(gains[best]))


def _simulated_s(where: Deployment, step: Step) -> float:
    return EventEngine(AnalyticEngine(where), "rngd").cost(step).time_s


def test_no_design_of_a_random_search_beats_its_own_peak(tmp_path: Path) -> None:
    """Part of examples/rngd-random-search.yaml, which is run whole for docs/sweep.md."""
    spec = load_spec(ROOT / "examples" / "rngd-random-search.yaml").model_copy(update={"points": 300})
    found = run_sweep(spec, "search", tmp_path, Backend())
    table = pd.read_parquet(tmp_path / "points.parquet")
    fractions = table[["peak_fraction", "bandwidth_fraction", "cap_fraction"]]
    assert fractions[["peak_fraction", "bandwidth_fraction"]].max().max() <= 1.0
    assert len(np.unique(table["chip.unit.program_time"])) == 300 and found.points == 600
    assert (fractions.max() > 0.1).all()
