"""Claimed scaling curves of collectives: bounds against closed forms, verdicts, the worst point, mistakes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.answers.collective import GroupedCollective
from npusim.answers.collective_times import CollectiveTimes
from npusim.bounds.fabric_cut import favourable, least_time
from npusim.explore.evaluate.curve import CurveClaim
from npusim.explore.evaluate.curve_judged import size_text
from npusim.hardware.catalog import load_system
from npusim.hardware.collectives import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, OPERATIONS, REDUCE_SCATTER, least_part

RANKS, MIB = 8, 2.0**20
FABRIC = load_system("h200").server.fabric
POINT = {"collective": "all-gather", "bytes": "64MiB", "cards": RANKS, "value": 200}
CURVE: dict[str, Any] = {
    "name": "curve", "text": "a library", "metric": "bus_bandwidth", "unit": "GB/s", "source": "a test",
    "points": [POINT],
}  # fmt: skip
PROPOSAL: dict[str, Any] = {
    "name": "library", "title": "A library", "architecture": "h200", "context_of_use": "a test",
    "maturity": {"trl": 5, "evidence": "a prototype"}, "curves": [CURVE],
}  # fmt: skip


def written(folder: Path, *curves: dict[str, Any], **changes: Any) -> Path:
    told = copy.deepcopy(PROPOSAL) | changes
    told["curves"] = [CURVE | each for each in curves]
    path = folder / "library.yaml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One evaluation of curves that fail, hold, and hang on software that nobody described."""
    beyond = [POINT, POINT | {"collective": "reduce-scatter", "value": 451}, POINT | {"cards": 4, "value": 460}]
    ratio = [POINT | {"collective": "all_reduce", "bytes": size, "value": 1.2} for size in ("1MiB", "64MiB")]
    library = [
        POINT | {"value": value, "collective": name} for name, value in (("all_gather", 250), ("all_to_all", 150))
    ]
    path = written(
        tmp_path_factory.mktemp("curves"),
        {"name": "beyond", "points": beyond},
        {"name": "held", "library": "nccl", "points": library},
        {"name": "open", "points": [POINT | {"value": 330}]},
        {"name": "ratio", "unit": None, "baseline": {"library": "nccl"}, "points": ratio},
        {"name": "time", "metric": "time", "unit": "us", "points": [POINT | {"value": 400}]},
        {"name": "line rate", "points": [POINT | {"value": 450}]},
    )
    answer = tell("evaluate", path, "--json").json
    return {each["claim"]: each for each in answer["claims"]}


@given(
    st.sampled_from((ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL)),
    st.floats(1.0, 2.0**32),
    st.sampled_from((2, 4, 8)),
)
def test_the_bound_of_a_switch_is_the_closed_form(operation: int, size: float, ranks: int) -> None:
    """One port a chip: the message's least part over the line rate; a switch that sums carries it once."""
    best = favourable(FABRIC)
    part = 1.0 if operation == ALL_REDUCE else least_part(operation, ranks)
    link = best.levels[0].link
    expected = max(link.latency.value, part * size / link.bandwidth.value)
    assert least_time(best, operation, size, ranks).seconds == pytest.approx(expected)


def test_a_cut_between_sockets_binds_where_all_to_all_crosses_it() -> None:
    """Four chips on each side exchange 4 x 4 / 8 of a message over one link of one tenth of a chip's rate."""
    fabric = load_system("rngd-server").server.fabric
    outer = fabric.levels[1]
    slow = outer.link.bandwidth.model_copy(update={"value": fabric.levels[0].link.rate_bytes_per_s / 10.0})
    link = outer.link.model_copy(update={"bandwidth": slow})
    narrow = fabric.model_copy(update={"levels": (fabric.levels[0], outer.model_copy(update={"link": link}))})
    found = least_time(narrow, ALL_TO_ALL, MIB, RANKS)
    assert found.across == outer.link.name
    assert found.seconds == pytest.approx(2.0 * MIB / link.rate_bytes_per_s)


@pytest.mark.parametrize("arch", ["h200", "rngd-server", "mi300x"])
def test_no_algorithm_passes_the_bound_and_few_drawn_machines(arch: str) -> None:
    """Ranges are the middle 90 % of what is drawn: tails lie beyond their favourable ends."""
    asked = [
        GroupedCollective(operation, size, ranks)
        for operation in (ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL)
        for size in (1024.0, 64 * MIB)
        for ranks in (2, RANKS)
    ]
    best = favourable(load_system(arch, uncalibrated=True).server.fabric)
    bound = np.array([least_time(best, each.operation, each.byte_count, each.ranks).seconds for each in asked])
    free, described = CollectiveTimes(arch, asked, free_software=True), CollectiveTimes(arch, asked)
    assert (free.described >= bound * (1.0 - 1e-9)).all()
    assert (described.described >= free.described * (1.0 - 1e-9)).all()
    assert (np.median(free.drawn(5, 0), axis=0) >= bound * (1.0 - 1e-9)).all()


def test_alpha_and_beta_give_the_time_of_an_algorithm_in_one_piece() -> None:
    found = CollectiveTimes("h200", [GroupedCollective(ALL_GATHER, 64 * MIB, RANKS)], free_software=True).alpha_beta(0)
    assert found.algorithm in ("ring", "one_shot")
    assert found.time_s == pytest.approx(found.alpha_s + 64 * MIB / found.rate_bytes_per_s)


def test_a_point_beyond_the_links_is_impossible_and_the_worst_is_named(judged: dict[str, Any]) -> None:
    claim = judged["beyond"]
    assert claim["decision"] == "reject" and claim["probability_high"] == 0.0
    assert [point["impossible"] for point in claim["points"]] == [False, True, True]
    assert claim["worst"] == {"collective": "all_gather", "bytes": 64 * MIB, "cards": 4}
    assert claim["points"][1]["bound"] == pytest.approx(450.0)
    assert judged["line rate"]["points"][0]["impossible"] is False, "a claim of the very line rate is not accused"


def test_a_library_that_is_described_is_judged_by_its_description(judged: dict[str, Any]) -> None:
    claim = judged["held"]
    assert claim["decision"] == "accept" and claim["probability"] >= 0.99
    assert all(point["low"] <= point["predicted"] <= point["high"] for point in claim["points"])
    assert all(point["free_software"] is None for point in claim["points"])


def test_what_another_engine_of_the_chip_could_move_is_not_rejected(tmp_path: Path) -> None:
    """20 of 30 GB/s are out of reach where one PE moves the data, as is described, and within where all do."""
    told = {"points": [POINT | {"collective": "all_reduce", "value": 20}]}
    (claim,) = tell("evaluate", written(tmp_path, told, architecture="rngd-server"), "--json").json["claims"]
    assert claim["decision"] == "conditions incomplete"
    assert claim["probability"] < 0.1 and claim["probability_high"] > 0.9


def test_software_that_nobody_described_is_open(judged: dict[str, Any]) -> None:
    claim = judged["open"]
    assert claim["decision"] == "conditions incomplete"
    assert claim["probability"] < 0.05 and claim["probability_high"] > 0.95
    (need,) = claim["needs"]
    point = claim["points"][0]
    left_s = least_part(ALL_GATHER, RANKS) * 64 * MIB / 330e9 - 1e-6 * point["links_alone_us"]
    assert need["needed"] == pytest.approx(left_s)


def test_a_ratio_is_to_the_described_library(judged: dict[str, Any]) -> None:
    for point in judged["ratio"]["points"]:
        assert point["predicted"] == point["low"] == point["high"] == 1.0
        assert point["bound"] > point["free_software"]["value"] > 1.2
    assert judged["ratio"]["worst"]["bytes"] == 64 * MIB, "large messages leave software the least room"


def test_a_time_is_at_most_and_a_bandwidth_at_least(judged: dict[str, Any]) -> None:
    assert judged["time"]["side"] == "at_most" and judged["time"]["decision"] == "accept"
    assert judged["time"]["points"][0]["predicted"] == pytest.approx(199.1, abs=0.1)
    assert judged["open"]["side"] == "at_least"


@given(st.floats(1e-6, 1.0), st.sampled_from(("bus_bandwidth", "algorithm_bandwidth", "time")))
def test_figures_and_times_are_inverse(seconds: float, metric: str) -> None:
    claim = CurveClaim.model_validate(CURVE | {"metric": metric, "unit": "us" if metric == "time" else "GB/s"})
    point = claim.points[0]
    assert claim.seconds(claim.figure(seconds, point, RANKS), point, RANKS) == pytest.approx(seconds)


def test_scaling_is_a_ratio_to_fewer_cards(tmp_path: Path) -> None:
    curve = {"unit": None, "baseline": {"cards": 2}, "library": "nccl", "points": [POINT | {"value": 1.0}]}
    (claim,) = tell("evaluate", written(tmp_path, curve), "--json").json["claims"]
    times = CollectiveTimes("h200", [GroupedCollective(ALL_GATHER, 64 * MIB, count) for count in (2, RANKS)]).described
    parts = [least_part(ALL_GATHER, count) for count in (2, RANKS)]
    assert claim["points"][0]["predicted"] == pytest.approx(times[0] / parts[0] * parts[1] / times[1])


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"points": [POINT | {"collective": "all_reduc"}]}, ("all_reduc", "use one of all_reduce")),
        ({"points": [POINT | {"bytes": "64 MHz"}]}, ("bytes", "MHz")),
        ({"points": [POINT | {"bytes": math.inf}]}, ("bytes",)),
        ({"points": [POINT | {"cards": 1}]}, ("cards",)),
        ({"points": [POINT | {"cards": 16}]}, ("curves", "16 chips", "joins 8")),
        ({"points": [POINT, POINT]}, ("there twice",)),
        ({"unit": "us"}, ("unit", "does not measure bus_bandwidth", "GB/s")),
        ({"unit": None}, ("unit", "missing")),
        ({"baseline": {"cards": 2}}, ("unit", "ratios")),
        ({"library": "nkcl"}, ("nkcl", "nccl")),
        ({"algorithm": "ringg"}, ("ringg", "ring")),
        ({"source": None}, ("source",)),
    ],
)
def test_a_mistake_in_a_curve_is_told_in_one_line(
    changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    line = mistake("evaluate", written(tmp_path, changes))
    assert "library.yaml" in line and all(part in line for part in parts), line


def test_a_proposal_without_any_claim_is_told(tmp_path: Path) -> None:
    assert "give a claim, or a curve" in mistake("evaluate", written(tmp_path))


def test_sizes_are_written_as_people_do() -> None:
    assert [size_text(size) for size in (64 * MIB, 2.0**30, 1536.0, 1000.0)] == [
        "64 MiB",
        "1 GiB",
        "1,536 B",
        "1,000 B",
    ]
    assert set(OPERATIONS) >= {"all_reduce", "all_gather", "reduce_scatter", "all_to_all"}
