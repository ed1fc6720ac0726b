"""States of software: what labs ran, tuned, and open between the two, as option, as draws and as descriptions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli_support import tell
from conftest import Deploy

from npusim.answers.predict import predict_step
from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.catalog import load_system, shipped_runtimes, shipped_systems
from npusim.hardware.software import HALF_WAY, InUse, Software, between, usual_state
from npusim.hardware.states import AS_LABS_RAN, OPEN, STATES, TUNED
from npusim.hardware.yaml_file import load_yaml
from npusim.kernels.memory import peak_bandwidth
from npusim.mapping.deployment import Deployment, deploy
from npusim.workload.step import Step, decode, prefill

MODEL = "llama-3.1-8b"
CASES: tuple[tuple[str, str, int, Step], ...] = (
    ("gpt-oss-120b", "mxfp4", 2, decode([1024])),
    ("exaone-3.5-32b", "fp8", 4, decode([4096])),
    ("qwen3-30b-a3b", "fp8", 1, decode([512] * 16)),
    (MODEL, "bf16", 1, decode([512] * 64)),
    (MODEL, "bf16", 4, prefill(1, 1024)),
)
"""Models and steps of which each mechanism moves at least one."""
DESCRIBED = [name for name in shipped_systems() if load_system(name).runtime != "vllm"]


def _used(deployment: Deployment) -> InUse:
    assert deployment.software is not None
    return deployment.software


def _seconds(deployment: Deployment, step: Step) -> float:
    """Of the chip, and of the host that it does not hide."""
    engine = AnalyticEngine(deployment, len(step.query))
    return engine.with_host(engine.cost(step), len(step.query)).time_s


def test_a_chip_that_exists_runs_what_labs_ran_and_a_projection_is_open(deployed: Deploy) -> None:
    states = {}
    for name in shipped_systems():
        used = deployed(name, "qwen2.5-0.5b").software
        assert used is None or (not used.told and used.state == usual_state(load_system(name)))
        states[name] = None if used is None else used.state
    assert states["rngd"] == AS_LABS_RAN
    assert [states[name] for name in ("rngd-plus", "rngd-plus-max", "lpddr6-pim", "rngd-2-server")] == [OPEN] * 4
    assert states["h200"] is None


def test_every_mechanism_fits_every_runtime_that_names_it(deployed: Deploy) -> None:
    """Paths and values are those of the descriptions, each with provenance and, assumed, a range."""
    known = set()
    for name in shipped_systems():
        used = deployed(name, "qwen2.5-0.5b").software
        if used is not None:
            known.add(used.description.name)
            told = {each.mechanism for each in used.settings}
            assert told == {each.name for each in used.description.mechanisms}
            assert all(each.tuned.source for each in used.settings if each.is_number)
    folder = next(iter(shipped_runtimes().values())).parent.parent / "software"
    assert known == {load_yaml(path, Software).name for path in folder.glob("*.yaml")}


def test_what_labs_ran_is_what_it_was(deployed: Deploy) -> None:
    usual, told = deployed("rngd", MODEL), deployed("rngd", MODEL, software=AS_LABS_RAN)
    assert usual.machine.tobytes() == told.machine.tobytes()
    assert usual.runtime_record.tobytes() == told.runtime_record.tobytes()
    assert _used(told).told and not _used(usual).told
    assert usual.calibration == told.calibration is not None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_tuned_software_is_faster_and_open_is_between(deployed: Deploy, case: tuple[str, str, int, Step]) -> None:
    model, precision, cards, step = case
    ran, tuned, between_both = (
        _seconds(deployed("rngd", model, precision=precision, cards=cards, software=state), step) for state in STATES
    )
    assert tuned < between_both < ran


def test_each_mechanism_moves_something_and_hurts_nothing(deployed: Deploy) -> None:
    moved = set()
    for model, precision, cards, step in CASES:
        tuned = deployed("rngd", model, precision=precision, cards=cards, software=TUNED)
        whole = _seconds(tuned, step)
        for mechanism in _used(tuned).description.mechanisms:
            without = _seconds(tuned.running(_used(tuned).without(mechanism.name)), step)
            assert without >= whole * (1.0 - 1e-9), (model, mechanism.name)
            if without > whole * (1.0 + 1e-6):
                moved.add(mechanism.name)
    assert moved == {each.name for each in _used(deployed("rngd", MODEL)).description.mechanisms}


def test_the_stream_of_weights_bounds_every_state(deployed: Deploy) -> None:
    """No draw reads the weights faster than the pins of the memory allow."""
    where = deployed("rngd", MODEL, software=TUNED)
    machines, runtimes, _ = where.drawn((), 64, 0)
    step = decode([128])
    for machine, record in zip(machines, runtimes, strict=True):
        engine = AnalyticEngine(where.with_records(np.array([machine]), np.array([record])))
        rows = engine.operators(step)[0].rows
        weights = float((rows["weight_bytes"] * rows["repeat"]).sum())
        assert engine.cost(step).time_s > weights / float(peak_bandwidth(engine.machine))


def test_open_draws_reach_from_one_state_to_the_other(deployed: Deploy) -> None:
    """What software does not set is drawn alike in every state; what it sets lies on the way, by one maturity."""
    states = {state: deployed("rngd", MODEL, software=state).drawn((), 64, 3)[:2] for state in STATES}
    settings = _used(deployed("rngd", MODEL, software=TUNED)).settings
    assert "runtime.host.step_time".removeprefix("runtime.") in {each.path for each in settings}
    (old, old_run), (new, new_run), (mid, mid_run) = (states[state] for state in STATES)
    assert (
        old["tcp_dma_efficiency"].tobytes()
        == new["tcp_dma_efficiency"].tobytes()
        == mid["tcp_dma_efficiency"].tobytes()
    )
    times = [records["host_step_time"] for records in (old_run, new_run, mid_run)]
    low, high = np.minimum(times[0], times[1]), np.maximum(times[0], times[1])
    assert ((times[2] >= low * (1 - 1e-12)) & (times[2] <= high * (1 + 1e-12))).all()
    ways = np.log(times[2] / times[0]) / np.log(times[1] / times[0])
    assert ways.min() < 0.03 and ways.max() > 0.97
    reductions = mid["reduction_chosen"] / new["reduction_chosen"]
    np.testing.assert_allclose(reductions, ways, rtol=1e-9, atol=1e-12)
    assert (mid_run["host_sampling"] == (ways < HALF_WAY)).all()
    assert old_run["host_sampling"].all() and not new_run["host_sampling"].any()


def test_the_open_figure_is_half_way(deployed: Deploy) -> None:
    ran, tuned, half = (deployed("rngd", MODEL, software=state) for state in STATES)
    expected = between(ran.runtime_record["host_step_time"], tuned.runtime_record["host_step_time"], HALF_WAY)
    assert half.runtime_record["host_step_time"] == pytest.approx(expected, rel=1e-12)
    quantity = half.runtime.host.step_time
    assert quantity.low == tuned.runtime.host.step_time.low and quantity.high == ran.runtime.host.step_time.high
    assert quantity.kind == "assumed"


def test_open_software_widens_the_interval(deployed: Deploy) -> None:
    """Less is known than of either state alone."""

    def span(arch: str, state: str) -> tuple[float, float]:
        where = deployed(arch, "gpt-oss-120b", precision="mxfp4", cards=2, software=state)
        found = predict_step(where, "decode", 1, 1024, interval_wanted=True)["time_us"]
        return found["low"], found["high"]

    widths = {state: np.log(high / low) for state in STATES for low, high in [span("rngd", state)]}
    assert widths[OPEN] > max(widths[AS_LABS_RAN], widths[TUNED])
    low, high = span("rngd-plus", OPEN)
    assert np.log(high / low) > widths[AS_LABS_RAN]


def test_a_state_that_is_not_described_is_refused() -> None:
    done = tell("step", "h200", MODEL, "--phase", "decode", "--batch", 1, "--context", 64, "--software", TUNED)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--software" in done.err and "vllm" in done.err
    with pytest.raises(UserError, match="as-labs-ran, tuned, open"):
        deploy("rngd", MODEL, software="ripe")


BROKEN = """name: broken
title: A test
as_labs_ran: a test
mechanisms:
  - name: one
    does: It does.
    sets:
      {path}: {value}
"""


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("runtime.host.no_time", "chip", "no such number or word"),
        ("runtime.host.sampling", "moon", "sampling"),
        ("runtime.host.step_time", "{value: 1 ms, kind: assumed, source: a test}", "low and high"),
        ("runtime.host.step_time", "{value: 1 GB, kind: derived, source: a test}", "step_time"),
        ("chip.reduction.chosen", "{value: 2, kind: derived, source: a test}", "at most 1"),
    ],
)
def test_a_mistake_in_a_description_is_named(tmp_path: Path, path: str, value: str, said: str) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN.format(path=path, value=value))
    runtime = tmp_path / "own.yaml"
    runtime.write_text(f"extends: furiosa-llm-2026.3\nname: own\ntitle: own\nsoftware: {tmp_path / 'broken.yaml'}\n")
    with pytest.raises(UserError, match=said) as caught:
        deploy("rngd", MODEL, runtime=str(runtime), software=TUNED)
    assert f"mechanisms.one.sets.{path}" in str(caught.value)


def test_the_state_is_told_with_every_answer(tmp_path: Path) -> None:
    run = ("run", "rngd", "qwen2.5-0.5b", "--isl", 64, "--osl", 4, "--concurrency", 1, "--requests", 1)
    usual, tuned = tell(*run, "--json").json, tell(*run, "--software", TUNED, "--json").json
    assert usual["configuration"]["software"] == {"name": "furiosa-llm", "state": AS_LABS_RAN, "told": False}
    assert tuned["configuration"]["software"] == {"name": "furiosa-llm", "state": TUNED, "told": True}
    assert tuned["tpot_ms"]["mean"] < usual["tpot_ms"]["mean"]
    assert tuned["manifest"]["argv"][-3:-1] == ["--software", TUNED]
    assert "The software is tuned (as told)." in tell(*run, "--software", TUNED).out.replace("\n", " ")
    assert "as labs ran it (assumed, not told)" in tell(*run).out.replace("\n", " ")


def test_a_grid_takes_the_state(tmp_path: Path) -> None:
    grid = tmp_path / "g.yaml"
    grid.write_text(
        "name: g\ntitle: g\nsource: a test\npoints: [{isl: 64, osl: 8, users: [1]}]\n"
        "arrival: closed\nrequests_per_user: 1\n"
    )
    asked = ("kperf", "rngd", "--models", "qwen2.5-0.5b", "--grid", grid, "--no-interval", "--workers", 1, "--json")
    ran, tuned = (
        tell(*asked, "--software", state, "--out", tmp_path / state).json["cells"][0] for state in (AS_LABS_RAN, TUNED)
    )
    assert tuned["tpot_ms_mean"] < ran["tpot_ms_mean"]
    assert json.loads((tmp_path / TUNED / "manifest.json").read_text())["argv"].count("--software") == 1


SPEC = """name: states
arch: rngd-plus
models: [qwen2.5-0.5b]
software: [as-labs-ran, tuned]
workloads: [{isl: 64, osl: 8, users: [1]}]
vary: {chip.unit.clock: {values: [1.0 GHz, 1.2 GHz]}}
objectives: {output_tokens_per_s: max}
"""


def _seconds_of_points(folder: Path) -> dict[str, float]:
    """Of the first design, by the state of the software."""
    with (folder / "points.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["design"] == "0"]
    return {row["software"]: 1.0 / float(row["output_tokens_per_s"]) for row in rows}


def test_a_sweep_has_states_as_an_axis(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    asked = ("sweep", tmp_path / "s.yaml", "--workers", 1, "--json")
    assert tell(*asked, "--out", tmp_path / "both").code == 0
    assert tell(*asked, "--out", tmp_path / "one", "--software", OPEN).code == 0
    both, one = _seconds_of_points(tmp_path / "both"), _seconds_of_points(tmp_path / "one")
    assert list(one) == [OPEN] and set(both) == {AS_LABS_RAN, TUNED}
    assert both[TUNED] < one[OPEN] < both[AS_LABS_RAN]


def test_show_prints_the_mechanisms() -> None:
    told = tell("show", "rngd-plus", "--json").json["software"]
    assert told["state"] == OPEN
    assert [each["name"] for each in told["mechanisms"]][:2] == ["reductions", "attention"]
    host = next(each for each in told["mechanisms"] if each["name"] == "host")["sets"][0]
    assert host["was"]["kind"] == "calibrated" and host["tuned"]["low"] < host["tuned"]["value"] < host["tuned"]["high"]
    assert "What tuned software does otherwise" in tell("show", "rngd").out
