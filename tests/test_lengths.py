"""Spread lengths: what is written is what is drawn, the same at any time, and it reaches every command."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim import api
from npusim.errors import UserError
from npusim.evidence.measured.case import Numbers
from npusim.evidence.measured.importer import import_table
from npusim.evidence.predictors.run import HARNESS, RunPredictor
from npusim.evidence.validation.validate import cases_of_lengths, validate_table
from npusim.hardware.catalog import load_system
from npusim.kperf.runner import run_grid
from npusim.mapping.deployment import deploy
from npusim.serving.load import make_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed, Poisson, poisson_times
from npusim.workload.grid import load_grid
from npusim.workload.lengths import FIXED, Between, Even, Lengths, LogNormal, draw_lengths, parse_lengths, parse_spreads

MODEL = "llama-3.1-8b"
ENDTOEND = Path(__file__).parent.parent / "validation" / "data" / "gpu_public" / "h200_serving_endtoend.csv"


@pytest.mark.parametrize(
    ("text", "stated", "spread"),
    [
        ("1024", 1024, FIXED),
        ("1024±20%", 1024, Even(0.8, 1.2)),
        (" 1024 +- 20 % ", 1024, Even(0.8, 1.2)),
        ("1024+/-20%", 1024, Even(0.8, 1.2)),
        ("1024:80%-100%", 1024, Even(0.8, 1.0)),
        ("1024±0%", 1024, FIXED),
        ("uniform:512-2048", 1280, Between(512, 2048)),
        ("lognormal:mean=1024,cv=0.6", 1024, LogNormal(math.sqrt(math.log1p(0.36)))),
        ("lognormal:median=732,sigma=1,most=3464", 732, LogNormal(1.0, True, 3464)),
    ],
)
def test_what_is_written_is_read_and_written_again(text: str, stated: int, spread: object) -> None:
    found = parse_lengths(text, "--isl")
    assert (found.stated, found.spread) == (stated, spread)
    again = parse_lengths(found.text, "--isl")
    assert again.stated == stated and again.text == found.text


@pytest.mark.parametrize("text", ["fixed", "±20%", "80%-100%", "512-2048", "lognormal:cv=0.6", "±20%/fixed"])
def test_a_spread_alone_is_read_and_written_again(text: str) -> None:
    isl, osl = parse_spreads(text, "--lengths")
    assert (isl.text if isl == osl else f"{isl.text}/{osl.text}") == text


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("0", "1 to 10,000,000"),
        ("-5", "is no length|1 to"),
        ("99999999999999999999", "1 to"),
        ("1024±120%", "at most ±100%"),
        ("1024 20%", "is no length"),
        ("1024:100%-80%", "parts that rise"),
        ("uniform:2048-512", "falls"),
        ("uniform:x", "use uniform"),
        ("lognormal:mean=1024", "needs cv"),
        ("lognormal:cv=1", "needs a mean or a median"),
        ("lognormal:mean=1024,cv=nan", "is none of"),
        ("lognormal:mean=1024,cv=1e9", "must be 0 to"),
        ("lognormal:mean=1024,cv=0.5,most=8", "cut off"),
        ("gauss:1,2", "is no length"),
        ("", "is no length"),
        ("1024±20%; rm", "is no length"),
    ],
)
def test_what_is_no_length_is_one_line(text: str, mend: str) -> None:
    with pytest.raises(UserError, match=mend) as caught:
        parse_lengths(text, "--isl")
    assert caught.value.location == "--isl" and "\n" not in str(caught.value)


@given(st.integers(1, 5000), st.integers(0, 100), st.integers(1, 300), st.integers(0, 9))
def test_even_lengths_stay_between_their_ends(stated: int, percent: int, count: int, seed: int) -> None:
    lengths = parse_lengths(f"{stated}±{percent}%", "--isl")
    drawn = draw_lengths(lengths, Lengths(7), count, seed)
    low, high = stated * (1 - percent / 100), stated * (1 + percent / 100)
    assert (drawn[:, 0] >= max(1, math.floor(low))).all() and (drawn[:, 0] <= math.ceil(high)).all()
    assert drawn[:, 0].max() <= lengths.longest and (drawn[:, 1] == 7).all()
    assert (draw_lengths(lengths, Lengths(7), count, seed) == drawn).all()


def test_moments_are_those_asked_for() -> None:
    lognormal = parse_lengths("lognormal:mean=1024,cv=0.6", "--isl")
    even = parse_lengths("uniform:512-2048", "--osl")
    drawn = draw_lengths(lognormal, even, 20_000, 0).astype(float)
    assert drawn[:, 0].mean() == pytest.approx(1024, rel=0.005)
    assert drawn[:, 0].std() / drawn[:, 0].mean() == pytest.approx(0.6, rel=0.02)
    assert drawn[:, 1].mean() == pytest.approx(1280, rel=0.01)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02


def test_lengths_do_not_follow_arrivals_of_the_same_seed() -> None:
    gaps = np.diff(poisson_times(4001, 5.0, 7))
    lengths = draw_lengths(parse_lengths("uniform:1-4000", ""), Lengths(1), 4000, 7)[:, 0]
    assert abs(np.corrcoef(gaps, lengths)[0, 1]) < 0.05


def test_no_spread_is_the_run_of_old_to_the_last_bit_and_a_spread_moves_it() -> None:
    deployment = deploy("rngd", MODEL)
    plain, none, spread = (
        measure(simulate(deployment, make_load(parse_lengths(isl, ""), Lengths(32), Closed(4), 12, 1), 1))
        for isl in ("256", "256±0%", "256±50%")
    )
    assert plain.figures == none.figures
    assert spread["ttft_ms_p99"] > plain["ttft_ms_p50"] and spread.figures != plain.figures


def test_equal_users_in_lockstep_wait_for_each_other_and_staggered_ones_do_not() -> None:
    deployment = deploy("rngd", MODEL)
    first = {}
    for arrival in (Closed(8), Closed(8, staggered=True)):
        load = make_load(512, 64, arrival, 64, 0, warm_up=16)
        assert load.tokens[:8, 1].tolist() == ([64] * 8 if arrival == Closed(8) else [8, 16, 24, 32, 40, 48, 56, 64])
        first[arrival.staggered] = measure(simulate(deployment, load, 0))["ttft_ms_mean"]
    assert first[True] < 0.75 * first[False]


def test_warm_up_leaves_latencies_out_and_nothing_else() -> None:
    deployment = deploy("rngd", MODEL)
    whole, later = (measure(simulate(deployment, make_load(512, 16, Closed(8), 24, 0, warm_up=n), 0)) for n in (0, 8))
    assert later["ttft_ms_mean"] != whole["ttft_ms_mean"]
    assert later["output_tokens_per_s"] == whole["output_tokens_per_s"] and later["requests"] == whole["requests"]


def test_a_prefix_longer_than_the_shortest_prompt_is_refused() -> None:
    with pytest.raises(UserError, match="of the shortest prompt"):
        make_load(parse_lengths("100±50%", ""), Lengths(4), Closed(2), 40, 0, shared=100)


def test_replicas_share_the_drawn_requests() -> None:
    load = make_load(parse_lengths("100±50%", ""), parse_lengths("40±50%", ""), Poisson(4.0), 11, 0, warm_up=5)
    part = load.of_replica(2)
    assert part.tokens.tolist() == load.tokens[::2].tolist() and part.warm_up == 3
    assert [prompt[0] for prompt in part.prompts] == [prompt[0] for prompt in load.prompts][::2]


def test_run_tells_the_spread_and_the_start_among_its_conditions() -> None:
    words = ("run", "rngd", MODEL, "--isl", "128+-20%", "--osl", "8", "--concurrency", "2", "--json")
    answer = tell(*words, "--arrival", "closed:start=staggered", "--warm-up", "2").json
    assert answer["conditions"]["told"]["lengths"] == "±20%/fixed"
    assert answer["conditions"]["told"]["start"] == "staggered"
    plain = api.run("rngd", MODEL, isl=128, osl=8, concurrency=2).answer
    assert plain["conditions"]["assumed"]["lengths"] == "fixed"
    assert answer["ttft_ms"]["mean"] != plain["ttft_ms"]["mean"]
    assert "--warm-up" in mistake(*words, "--warm-up", "6")
    assert "--isl" in mistake("run", "rngd", MODEL, "--isl", "1k", "--osl", "8", "--concurrency", "2")


GRID = """name: spread
title: spread
source: a test
arrival: closed
requests_per_user: 3
points:
  - {isl: 128±25%, osl: 8, users: [1, 4]}
  - {isl: 256, osl: 8, lengths: 50%-100%, users: [2]}
"""


def test_a_grid_states_spreads_and_workers_do_not_change_them(tmp_path: Path) -> None:
    path = tmp_path / "spread.yaml"
    path.write_text(GRID, encoding="utf-8")
    assert list(load_grid(str(path)).cells()) == [(128, 8, 1), (128, 8, 4), (256, 8, 2)]
    assert load_grid(str(path)).longest == 264
    found = [
        run_grid(["rngd"], [MODEL], str(path), intervals=False, workers=workers, seed=5)[0].cells for workers in (1, 2)
    ]
    assert found[0].equals(found[1])
    assert found[0]["lengths"].tolist() == ["±25%/fixed", "±25%/fixed", "50%-100%"]
    path.write_text(GRID.replace("128±25%, osl", "128±25%, lengths: fixed, osl"), encoding="utf-8")
    with pytest.raises(UserError, match="leave one of them out"):
        load_grid(str(path))


def test_a_table_states_what_its_harness_draws_and_an_option_replaces_it() -> None:
    cases = import_table(ENDTOEND, None).cases
    predictor = next(case.predictor for case in cases if isinstance(case.predictor, RunPredictor))
    assert predictor.lengths == HARNESS and not predictor.lengths_told
    observation = Numbers.of(load_system(predictor.arch, uncalibrated=True)).observation
    assert predictor.spread(observation) == (Even(0.8, 1.0), Even(0.8, 1.0))
    told = cases_of_lengths(cases, "fixed", ENDTOEND)[0].predictor
    assert isinstance(told, RunPredictor) and told.spread(observation) == (FIXED, FIXED) and told.lengths_told
    with pytest.raises(UserError, match="holds no serving runs"):
        validate_table(ENDTOEND.parent / "h200_gemm.csv", lengths="fixed")


def test_conditions_of_a_table_show_the_spread(tmp_path: Path) -> None:
    lines = ENDTOEND.read_text(encoding="utf-8").splitlines()
    small = tmp_path / "h200_small.csv"
    small.write_text("\n".join([lines[0], *[line for line in lines[1:] if "llama" in line.lower()][:1]]) + "\n")
    plain = api.validate([small], arch="h200", interval=False).answer
    fixed = api.validate([small], arch="h200", interval=False, lengths="fixed").answer
    assert plain["conditions"]["assumed"]["lengths"] == ["80%-100%"]
    assert fixed["conditions"]["told"]["lengths"] == ["fixed"]
    assert plain["predictions"][0]["predicted"] != fixed["predictions"][0]["predicted"]
