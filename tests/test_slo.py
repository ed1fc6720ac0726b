"""Users at an SLO: the search finds the edge, a tighter limit never more users, and K-Perf tables print it."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim import api
from npusim.errors import UserError
from npusim.kperf.runner import run_grid
from npusim.mapping.deployment import Deployment, deploy
from npusim.serving.load import Load, random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.serving.slo import Slo, most_of_requests, most_users, parse_slo, users_at_slo
from npusim.workload.arrivals import Closed

MODEL = "llama-3.1-8b"


@cache
def _deployment() -> Deployment:
    return deploy("rngd", MODEL)


def _load(users: int) -> Load:
    return random_load(256, 32, Closed(users), 3 * users)


@given(st.integers(0, 700), st.integers(1, 900), st.integers(1, 600))
def test_the_edge_of_what_keeps_is_found_from_anywhere(edge: int, start: int, most: int) -> None:
    tried: list[int] = []

    def keeps(users: int) -> bool:
        tried.append(users)
        return users <= edge

    assert most_users(keeps, start, most) == min(edge, most)
    assert max(tried) <= most and len(tried) == len(set(tried)) <= 24
    coarse = most_users(lambda users: users <= edge, start, most, fine=16)
    assert coarse <= min(edge, most) < coarse * 1.0625 + 1


def test_limits_are_read_in_their_units() -> None:
    assert parse_slo("ttft_p99=2s, tpot_p99=50 ms").limits == (("ttft_ms_p99", 2000.0), ("tpot_ms_p99", 50.0))
    assert parse_slo("e2e_mean=1.5 s,itl_p50=900us").limits == (("e2e_ms_mean", 1500.0), ("itl_ms_p50", 0.9))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no limit"),
        ("ttft_p99", "is no limit"),
        ("ttft_p42=1s", "is no limit; use ttft, tpot"),
        ("power_w_mean=1s", "is no limit"),
        ("ttft_p99=2", "has no unit"),
        ("ttft_p99=2 W", "not a unit of s"),
        ("ttft_p99=-1s", "more than zero|not a number"),
        ("ttft_p99=1s,ttft_p99=2s", "is no limit"),
    ],
)
def test_what_is_no_limit_is_one_line(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        parse_slo(text)
    assert caught.value.location == "--slo"


def test_one_user_more_breaks_a_limit_and_a_tighter_one_allows_no_more() -> None:
    counts = []
    for limit in (60.0, 30.0, 25.0, 0.001):
        slo = Slo((("ttft_ms_p99", 2000.0), ("tpot_ms_p99", limit)))
        found = users_at_slo(slo, _load, _deployment(), 8, 256, 0)
        counts.append(found.value)
        for users in (found.value, found.value + 1):
            if 0 < users <= 256:
                run = measure(simulate(_deployment(), _load(users), 0))
                assert slo.kept(run) == (users == found.value)
        assert found.least == (found.value == 256)
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] == 0


def test_the_interval_holds_the_value_and_its_seed_decides_it() -> None:
    slo = parse_slo("ttft_p99=2s,tpot_p99=30ms")
    found = [users_at_slo(slo, _load, _deployment(), 8, 128, 1, interval_wanted=True) for _ in range(2)]
    assert found[0] == found[1] and found[0].low is not None and found[0].high is not None
    assert found[0].low <= found[0].value <= found[0].high and found[0].low < found[0].high


def test_a_search_stays_within_the_requests_of_a_run() -> None:
    assert most_of_requests(192, 64) == 16_384 and most_of_requests(640_000, 64) == 100


def test_run_prints_it_and_without_the_option_nothing_changes() -> None:
    words = ("run", "rngd", MODEL, "--isl", "256", "--osl", "32", "--concurrency", "4")
    answer = tell(*words, "--slo", "ttft_p99=2s,tpot_p99=30ms", "--json").json
    plain = api.run("rngd", MODEL, isl=256, osl=32, concurrency=4).answer
    assert answer["users_at_slo"] >= 4 and answer["slo"]["limits_ms"]["tpot_ms_p99"] == 30
    assert "users_at_slo" not in plain and answer["ttft_ms"] == plain["ttft_ms"]
    assert "--slo" in mistake(*words, "--slo", "ttft_p99=2s", "--arrival", "poisson:2")
    assert "Most users within the limits" in tell(*words, "--slo", "ttft_p99=2s").out


GRID = """name: small
title: small
source: a test
arrival: closed
requests_per_user: 3
points:
  - {isl: 128, osl: 8, users: [1, 4]}
  - {isl: 1024, osl: 8, users: [2]}
"""


def test_a_grid_has_a_column_for_it_only_where_it_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(GRID, encoding="utf-8")
    words = ("kperf", "rngd", "--models", MODEL, "--grid", str(path), "--no-interval", "--workers", "1")
    asked = (*words, "--slo", "ttft_p99=500ms", "--out", str(tmp_path / "out"))
    answer = tell(*asked, "--json").json
    users = [cell["users_at_slo"] for cell in answer["cells"]]
    assert users[0] == users[1] > users[2] > 0
    with (tmp_path / "out" / "kperf.csv").open(encoding="utf-8-sig", newline="") as file:
        assert float(next(csv.DictReader(file))["users_at_slo"]) == users[0]
    plain = run_grid(["rngd"], [MODEL], str(path), intervals=False, workers=1)[0]
    assert "users_at_slo" not in plain.cells
    shape = run_grid(["rngd"], [MODEL], str(path), intervals=True, workers=2, slo=parse_slo("ttft_p99=500ms"))[0].cells
    assert (shape["users_at_slo"].tolist(), True) == (users, (shape["users_at_slo_low"] <= users).all())
    assert (shape["users_at_slo_high"] >= users).all()
