"""Described loads: rates, bursts, days and sessions are as described, in closed form; mistakes are a line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_session_serving import described

from npusim.errors import UserError
from npusim.serving.scheduler.tree import tree_of_blocks
from npusim.units import S_PER_HOUR
from npusim.workload.arrivals import FIRST
from npusim.workload.loads.catalog import described_load, list_loads
from npusim.workload.loads.day import DAY_S, DayClock
from npusim.workload.loads.description import LoadDescription
from npusim.workload.loads.draw import draw_sessions, draw_trace, session_times_s
from npusim.workload.loads.facts import facts_of, shared_fraction
from npusim.workload.loads.told import DayCourse
from npusim.workload.loads.write import trace_text
from npusim.workload.prompts import BlockPrompts
from npusim.workload.traces.read import Trace

SURE = {"kind": "derived", "source": "this test"}
HERE = Path("test.yaml")
PEAKED = [1.0] * 10 + [2.0, 4.0, 3.0] + [1.0] * 11
"""Rates of the hours, of which the eleventh is the busiest."""


def _arrivals(rate: float, cv: float, **day: object) -> LoadDescription:
    arrivals: dict[str, object] = {
        "sessions_per_s": {"value": rate, **SURE}, "gap_cv": {"value": cv, **SURE},
    }  # fmt: skip
    return described(
        sessions=40_000, arrivals=arrivals | ({"day": {"hourly": {"value": PEAKED, **SURE}, **day}} if day else {})
    )


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_gaps_have_the_rate_and_the_spread_that_are_told(cv: float) -> None:
    told = _arrivals(2.5, cv)
    gaps_s = np.diff(session_times_s(told.arrivals, told.sessions, 1))
    standard_error = max(cv, 1e-9) / math.sqrt(len(gaps_s))
    assert gaps_s.mean() * 2.5 == pytest.approx(1.0, abs=4.0 * standard_error)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.06, abs=1e-9)


def test_a_spread_of_one_is_a_poisson_process() -> None:
    """Counts of a second then have their mean as their variance."""
    told = _arrivals(4.0, 1.0)
    times_s = session_times_s(told.arrivals, told.sessions, 2)
    counts = np.bincount(times_s[times_s < 9_000.0].astype(int), minlength=9_000)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.07)


def _integral(hour: float) -> float:
    """Part of a day's sessions that come until an hour, trapezoid by trapezoid."""
    knots = [*PEAKED, PEAKED[0]]
    whole = int(hour)
    done = sum((knots[each] + knots[each + 1]) / 2.0 for each in range(whole))
    rest = hour - whole
    at = knots[whole] + (knots[min(whole + 1, 24)] - knots[whole]) * rest if rest else 0.0
    return (done + rest * (knots[whole] + at) / 2.0) / sum(PEAKED)


@pytest.mark.parametrize("cv", [0.0, 1.0, 2.0])
def test_a_day_has_its_share_of_sessions_in_the_peak_hour(cv: float) -> None:
    told = _arrivals(40_000 / DAY_S, cv, begins_at=0.0)
    times_s = session_times_s(told.arrivals, told.sessions, 3)
    for first, last in ((10, 11), (11, 12), (0, 10), (12, 24)):
        share = ((times_s >= first * S_PER_HOUR) & (times_s < last * S_PER_HOUR)).mean()
        assert share == pytest.approx(_integral(last) - _integral(first), abs=0.002 + 4.0 * cv * math.sqrt(share / 4e4))


@given(st.lists(st.floats(0.0, 1e4), min_size=24, max_size=24), st.floats(0.0, 23.99), st.floats(0.0, 1e6))
def test_the_clock_of_a_day_is_undone_by_its_inverse(hourly: list[float], begins: float, even_s: float) -> None:
    rates = [0.0 if rate < 0.02 else rate for rate in hourly]
    rates[int(begins)] += 1.0
    rates[(int(begins) + 1) % 24] += 1.0
    clock = DayClock(DayCourse.model_validate({"hourly": {"value": rates, **SURE}, "begins_at": begins}))
    begun_s = begins * S_PER_HOUR
    again = clock.even_s(begun_s + clock.clock_s(np.array([even_s]))) - clock.even_s(np.array([begun_s]))
    assert again[0] == pytest.approx(even_s, abs=1e-3)
    assert clock.even_s(np.array([3 * DAY_S]))[0] == pytest.approx(3 * DAY_S, rel=1e-12)


def test_a_day_that_begins_later_is_the_same_day_from_there() -> None:
    midnight, later = (_arrivals(1.0, 0.0, begins_at=hour) for hour in (0.0, 11.0))
    first, other = (session_times_s(each.arrivals, each.sessions, 0) for each in (midnight, later))
    assert first[0] == other[0] == 0.0
    assert other[100] < first[100] / 3.0


def test_think_times_have_their_mean_and_spread() -> None:
    for told, cv in (
        ({"distribution": "fixed", "mean": {"value": "2 s", **SURE}}, 0.0),
        ({"distribution": "exponential", "mean": {"value": "2 s", **SURE}}, 1.0),
        ({"distribution": "lognormal", "mean": {"value": "2 s", **SURE}, "cv": {"value": 0.5, **SURE}}, 0.5),
    ):
        drawn = draw_sessions(described(sessions=20_000, think_time=told), HERE, 4)
        waits_s = drawn.wait_s[drawn.turn > 0]
        assert waits_s.mean() == pytest.approx(2.0, rel=0.03)
        assert waits_s.std() / waits_s.mean() == pytest.approx(cv, rel=0.05, abs=1e-12)


def test_turns_are_geometric_or_those_that_are_listed() -> None:
    drawn = draw_sessions(described(sessions=20_000), HERE, 5)
    counts = np.bincount(drawn.session)
    assert counts.mean() == pytest.approx(3.0, rel=0.03)
    assert (counts == 1).mean() == pytest.approx(1.0 / 3.0, rel=0.05)
    assert counts.var() == pytest.approx(3.0 * 2.0, rel=0.08)
    listed = draw_sessions(described(sessions=20_000, turns={"counts": [2, 7], "source": "this test"}), HERE, 5)
    assert set(np.bincount(listed.session).tolist()) == {2, 7}
    assert (np.bincount(listed.session) == 2).mean() == pytest.approx(0.5, abs=0.02)


FIXED = {
    "turns": {"counts": [5], "source": "this test"},
    "prompt": {"value": 64, **SURE},
    "answer": {"value": 32, **SURE},
    "system_prompt": {"value": "100 token", **SURE},
}


def test_tokens_of_a_session_add_up() -> None:
    """Of n turns with p new tokens and answers of a, behind s of the system: n s + n(n+1)/2 p + n(n-1)/2 a prompts."""
    trace = draw_trace(described(**FIXED), HERE, 0)
    assert trace.tokens[:, 0].sum() == 12 * (5 * 100 + 15 * 64 + 10 * 32)
    assert trace.tokens[:, 1].sum() == 12 * 5 * 32
    by_turn = trace.tokens[[each[0] for each in _sessions(trace)], 0]
    assert (by_turn == 164).all()
    assert all(trace.tokens[session, 0].tolist() == [164, 260, 356, 452, 548] for session in _sessions(trace))


def _sessions(trace: Trace) -> list[list[int]]:
    """Places of the turns of each session."""
    assert trace.before is not None
    found: dict[int, list[int]] = {}
    for place, before in enumerate(trace.before.tolist()):
        found[place] = [place] if before == FIRST else [*found.pop(before), place]
    return list(found.values())


def test_what_prompts_share_is_the_closed_form() -> None:
    """96 of 100 tokens of the system are whole blocks; then all that was read and written, but the last token."""
    told = described(**FIXED)
    trace = draw_trace(told, HERE, 0)
    later = sum((164 + 96 * turn + 31) // 16 * 16 for turn in range(4))
    assert shared_fraction(told, trace) == (11 * 96 + 12 * later) / trace.tokens[:, 0].sum()


@settings(max_examples=40)
@given(st.integers(0, 99), st.integers(1, 70), st.integers(1, 60))
def test_prompts_share_what_they_should_and_nothing_else(seed: int, system: int, prompt: int) -> None:
    told = described(
        system_prompt={"value": f"{system} token", **SURE},
        prompt={"value": f"lognormal:mean={prompt},cv=1", **SURE},
        answer={"value": "uniform:1-40", **SURE},
    )
    trace = draw_trace(told, HERE, seed)
    count = -(-trace.tokens[:, 0] // 16)
    prompts = BlockPrompts(trace.tokens[:, 0], trace.blocks, np.cumsum(count) - count, 16)
    found = [[segment.segment_id for segment in each] for each in prompts]
    of_session = {place: number for number, turns in enumerate(_sessions(trace)) for place in turns}
    for place, before in enumerate(trace.before.tolist() if trace.before is not None else []):
        other = place - 1 if before == FIRST else before
        if other < 0:
            continue
        common = sum(a == b for a, b in zip(found[place], found[other], strict=False))
        same = of_session[place] == of_session[other]
        assert common == (int(trace.tokens[other, 0]) if same else system) // 16
    assert len(tree_of_blocks(prompts).parent) == len(set(trace.blocks.tolist()))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    texts = [trace_text(draw_trace(described(), HERE, seed)) for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]
    first = trace_text(draw_trace(described(), HERE, 7, 9))
    assert texts[0].startswith(first) and first.count("\n") == 9


CHANGES: dict[str, dict[str, object]] = {
    "sessions": {"sessions": 13},
    "rate": {"arrivals": {"sessions_per_s": {"value": 5.0, **SURE}, "gap_cv": {"value": 1.5, **SURE}}},
    "gap_cv": {"arrivals": {"sessions_per_s": {"value": 4.0, **SURE}, "gap_cv": {"value": 1.4, **SURE}}},
    "day": {
        "arrivals": {
            "sessions_per_s": {"value": 4.0, **SURE},
            "gap_cv": {"value": 1.5, **SURE},
            "day": {"hourly": {"value": PEAKED, **SURE}, "begins_at": 10},
        }
    },
    "turns": {"turns": {"mean": {"value": 4.0, **SURE}}},
    "think_time": {"think_time": {"distribution": "fixed", "mean": {"value": "1.5 s", **SURE}}},
    "system_prompt": {"system_prompt": None},
    "prompt": {"prompt": {"value": "lognormal:mean=121,cv=1", **SURE}},
    "answer": {"answer": {"value": "uniform:4-61", **SURE}},
    "longest_context": {"longest_context": 600},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_acts(name: str) -> None:
    plain, changed = (trace_text(draw_trace(each, HERE, 0)) for each in (described(), described(**CHANGES[name])))
    assert plain != changed


def test_what_one_key_draws_is_apart_from_the_others() -> None:
    plain, later = (draw_trace(each, HERE, 0) for each in (described(), described(**CHANGES["gap_cv"])))
    assert sorted(plain.tokens.tolist()) == sorted(later.tokens.tolist())


def test_sessions_end_before_the_longest_context() -> None:
    whole = draw_trace(described(), HERE, 0).tokens.sum(axis=1)
    cut = draw_trace(described(longest_context=600), HERE, 0).tokens.sum(axis=1)
    assert cut.max() <= 600 < whole.max() and len(cut) == (whole <= 600).sum()


SHIPPED = [load.name for load in list_loads()]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_loads_can_be_drawn(name: str) -> None:
    told = next(load for load in list_loads() if load.name == name)
    trace = draw_trace(told, HERE, 0)
    facts = facts_of(told, trace)
    assert facts["sessions"] == told.sessions and facts["assumed"] and 0.0 <= facts["shared_fraction"] < 1.0


def test_shipped_loads_are_named_as_their_files() -> None:
    files = (Path(__file__).parent.parent / "workloads" / "loads").glob("*.yaml")
    assert sorted(SHIPPED) == sorted(path.stem for path in files)


def load_text(**changes: object) -> str:
    """A file of a load, with some keys changed."""
    tree = {
        "name": "mine",
        "title": "mine",
        "sessions": 3,
        "arrivals": {"sessions_per_s": {"value": 4.0, **SURE}, "gap_cv": {"value": 1.5, **SURE}},
        "turns": {"counts": [2], "source": "this test"},
        "think_time": {"distribution": "fixed", "mean": {"value": "1 s", **SURE}},
        "prompt": {"value": 40, **SURE},
        "answer": {"value": 4, **SURE},
    }
    return yaml.safe_dump({key: value for key, value in (tree | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sessions": 0}, "sessions"),
        ({"sessions": 10**9}, "sessions"),
        ({"sesions": 5}, "did you mean 'sessions'"),
        ({"arrivals": {"gap_cv": {"value": 1, **SURE}}}, "arrivals.sessions_per_s: this key is missing"),
        ({"arrivals": {"sessions_per_s": 4, "gap_cv": {"value": 1, **SURE}}}, "bare number has no provenance"),
        ({"arrivals": {"sessions_per_s": {"value": -1, **SURE}, "gap_cv": {"value": 1, **SURE}}}, "sessions_per_s"),
        ({"arrivals": {"sessions_per_s": {"value": 4, **SURE}, "gap_cv": {"value": 99, **SURE}}}, "gap_cv"),
        ({"think_time": None}, "think_time: is missing"),
        ({"turns": {"mean": {"value": 1, **SURE}}}, "think_time: has no effect"),
        ({"turns": {"mean": {"value": 2, **SURE}, "counts": [2], "source": "x"}}, "turns"),
        ({"turns": {"counts": [2]}}, "counts and source go together"),
        ({"turns": {"counts": [0], "source": "x"}}, "turns.counts"),
        ({"prompt": {"value": "long", **SURE}}, "prompt.value: 'long' is no length"),
        ({"prompt": {"value": 40, "kind": "assumed", "source": "x"}}, "assumed lengths need low and high"),
        ({"prompt": {"value": 40, "kind": "assumed", "source": "x", "low": 50, "high": 60}}, "does not hold 40"),
        ({"think_time": {"distribution": "lognormal", "mean": {"value": "1 s", **SURE}}}, "cv goes with"),
        ({"longest_context": 20}, "longest_context: 20 tokens have no room for a first turn of 44"),
        ({"sessions": 600_000, "turns": {"counts": [2, 3], "source": "x"}}, "more than a run holds"),
        ({"prompt": {"value": 1_000_000, **SURE}, "sessions": 300}, "blocks of 16 tokens"),
    ],
)
def test_mistakes_are_a_line_with_file_and_key(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(load_text(**changes))
    with pytest.raises(UserError) as caught:
        draw_trace(described_load(path), path, 0)
    line = str(caught.value)
    assert told in line and "mine.yaml" in line and "\n" not in line


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ({"hourly": {"value": PEAKED[1:], **SURE}}, "arrivals.day.hourly.value"),
        ({"hourly": {"value": [0.0] * 24, **SURE}}, "one of them more than zero"),
        ({"hourly": {"value": [-1.0, *PEAKED[1:]], **SURE}}, "zero or more"),
        ({"hourly": {"value": [1e-9, *PEAKED[1:]], **SURE}}, "write 0"),
        ({"hourly": {"value": PEAKED, "kind": "assumed", "source": "x"}}, "assumed rates need low and high"),
        ({"hourly": {"value": PEAKED, **SURE, "low": [1.5] * 24}}, "the range at 0 o'clock"),
        ({"hourly": {"value": PEAKED, **SURE}, "begins_at": 24}, "begins_at"),
        ({"hourly": {"value": [0.0] * 6 + PEAKED[6:], **SURE}, "begins_at": 2}, "no session comes at 2 o'clock"),
    ],
)
def test_mistakes_about_a_day(day: dict[str, object], told: str, tmp_path: Path) -> None:
    arrivals = {"sessions_per_s": {"value": 4.0, **SURE}, "gap_cv": {"value": 1.5, **SURE}, "day": day}
    test_mistakes_are_a_line_with_file_and_key({"arrivals": arrivals}, told, tmp_path)


def test_the_load_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "loads.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    trace = draw_trace(described_load(path), path, 0)
    assert len(trace) > 500 and trace.tokens.sum(axis=1).max() <= 16_384
