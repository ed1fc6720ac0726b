"""Rates that their own source contradicts are named, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.evidence.measured.contradictions import Rate, contradicted
from npusim.evidence.measured.importer import import_table

TABLE = Path(__file__).resolve().parent.parent / "validation" / "data" / "rngd" / "serving.csv"
SPREAD = 0.05


def _sweep(*totals: tuple[float, float]) -> list[Rate]:
    return [Rate(row, "one", users, total, SPREAD) for row, (users, total) in enumerate(totals)]


@given(
    st.lists(st.floats(1.0, 512.0), min_size=1, max_size=8, unique=True),
    st.floats(1.0, 1e3),
    st.floats(0.0, 10.0),
)
def test_no_server_that_shares_its_time_contradicts_itself(users: list[float], fixed: float, each: float) -> None:
    """A step takes fixed + each x users: more users get more in all, and each of them less."""
    assert contradicted(_sweep(*((count, count / (fixed + each * count)) for count in users))) == {}


def test_four_that_get_less_than_one_alone_are_named() -> None:
    assert contradicted(_sweep((1.0, 55.0), (4.0, 34.0))) == {
        1: "its source contradicts it: 4 users got 34 tokens/s in all, one alone 55"
    }


def test_one_that_gets_less_than_each_of_two_is_named() -> None:
    assert list(contradicted(_sweep((1.0, 38.4), (2.0, 112.8), (4.0, 173.0)))) == [0]


@pytest.mark.parametrize("share", [1.0 - 4.9 * SPREAD, 1.0 - 5.1 * SPREAD])
def test_figures_may_differ_by_what_measuring_again_differs(share: float) -> None:
    found = contradicted(_sweep((1.0, 50.0), (2.0, 50.0 * share)))
    assert bool(found) == (share < 1.0 - 5.0 * SPREAD)


def test_a_users_own_rate_is_evidence_and_never_judged() -> None:
    alone = Rate(0, "one", 1.0, 10.0, SPREAD, judged=False)
    assert contradicted([alone, Rate(1, "one", 2.0, 90.0, SPREAD)]) == {}


def test_other_set_ups_say_nothing() -> None:
    assert contradicted([Rate(0, "one", 1.0, 55.0, SPREAD), Rate(1, "other", 4.0, 34.0, SPREAD)]) == {}


def test_published_rows_are_skipped_for_what_their_source_says_and_for_nothing_that_is_predicted() -> None:
    skips = {skip.row: skip.reason for skip in import_table(TABLE).skips if "contradicts" in skip.reason}
    assert set(skips) == {107, 144, 153}
