"""Precision schemes, prompts, arrivals and grids."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim import dtypes
from npusim.errors import UserError
from npusim.workload.arrivals import Burst, Closed, Poisson, parse_arrival, poisson_times
from npusim.workload.formats import formats, kv_bits, stored_bits
from npusim.workload.grid import list_grids, load_grid
from npusim.workload.precision import SCHEMES, Precision, resolve_precision
from npusim.workload.prompts import (
    Segment,
    identical_prompts,
    random_prompts,
    shared_prefix_prompts,
    shared_tokens,
)

GRID = """name: mine
title: mine
source: me
arrival: burst
requests_per_user: 3
points:
  - {isl: 128, osl: 128, users: [1, 4]}
"""


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("bf16", 16), ("fp8", 8 + 32 / 128**2), ("int8", 8), ("int4", 4.125), ("mxfp4", 4.25), ("f32", 32)],
)
def test_stored_bits_hold_the_block_scales(dtype: str, bits: float) -> None:
    assert stored_bits(dtype) == bits


def test_every_format_of_a_scheme_has_bits_and_a_code() -> None:
    for scheme in SCHEMES:
        precision = resolve_precision(scheme, "bf16")
        for dtype in (precision.weights, precision.activations):
            assert stored_bits(dtype) > 0
            assert dtypes.name(dtypes.code(dtype)) == dtype
    assert set(type(formats().element).model_fields) == set(dtypes.NAMES)


@pytest.mark.parametrize(
    ("spelling", "kv", "bits"),
    [("16", "bf16", 16), ("fp16", "bf16", 16), ("BF16", "bf16", 16), ("8", "fp8", 8), ("fp8", "fp8", 8)],
)
def test_kv_spellings(spelling: str, kv: str, bits: float) -> None:
    assert resolve_precision("w4a16", spelling) == Precision("w4a16", "int4", "bf16", kv)
    assert kv_bits(kv) == bits


def test_int8_kv_pays_for_its_scales() -> None:
    assert resolve_precision("int8", "int8").kv == "int8"
    assert 8 <= kv_bits("int8") <= 8.5


def test_unknown_precisions() -> None:
    with pytest.raises(UserError, match="use one of: bf16, fp8") as caught:
        resolve_precision("fp4", "bf16")
    assert caught.value.location == "--precision"
    with pytest.raises(UserError, match="unknown KV format 'int4'") as caught:
        resolve_precision("bf16", "int4")
    assert caught.value.location == "--kv-precision"


def test_prompts_share_what_they_are_said_to_share() -> None:
    first, second, _ = shared_prefix_prompts(3, 100, 60)
    assert shared_tokens(first, second) == 60
    assert shared_tokens(*random_prompts(2, 100)) == 0
    assert shared_tokens(*identical_prompts(2, 100)) == 100


def test_a_differing_segment_shares_nothing_and_ends_the_prefix() -> None:
    first = (Segment(1, 10), Segment(2, 20), Segment(3, 5))
    assert shared_tokens(first, (Segment(1, 10), Segment(2, 19), Segment(3, 5))) == 10


@given(st.integers(2, 20), st.integers(1, 4096), st.data())
def test_shared_prefix_prompts(n: int, isl: int, data: st.DataObject) -> None:
    shared = data.draw(st.integers(0, isl))
    prompts = shared_prefix_prompts(n, isl, shared)
    assert len(prompts) == n
    assert {sum(segment.tokens for segment in prompt) for prompt in prompts} == {isl}
    assert {shared_tokens(prompts[0], other) for other in prompts[1:]} == {shared}


def test_shared_part_must_fit_the_prompt() -> None:
    with pytest.raises(UserError, match="give 0 to 100"):
        shared_prefix_prompts(2, 100, 101)


def test_arrivals() -> None:
    assert parse_arrival("closed", 8) == Closed(8)
    assert parse_arrival("Burst", 8) == Burst(8)
    assert parse_arrival("poisson:2.5", 8) == Poisson(2.5)


@pytest.mark.parametrize("text", ["", "open", "closed:3", "burst:", "poisson", "poisson:", "poisson:fast"])
def test_text_that_is_no_arrival(text: str) -> None:
    with pytest.raises(UserError, match=r"use closed, burst or poisson:2.5") as caught:
        parse_arrival(text, 1)
    assert caught.value.location == "--arrival"


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_rates_must_be_positive(rate: str) -> None:
    with pytest.raises(UserError, match="more than zero"):
        parse_arrival(f"poisson:{rate}", 1)


def test_concurrency_must_be_positive() -> None:
    with pytest.raises(UserError, match="at least 1"):
        parse_arrival("closed", 0)


def test_poisson_times_rise_repeat_and_keep_the_rate() -> None:
    times = poisson_times(20_000, 4.0, seed=7)
    assert (np.diff(times) > 0).all()
    assert np.array_equal(times, poisson_times(20_000, 4.0, seed=7))
    assert not np.array_equal(times, poisson_times(20_000, 4.0, seed=8))
    assert 20_000 / times[-1] == pytest.approx(4.0, rel=0.03)


def test_the_default_grid_has_fifty_cells() -> None:
    grid = load_grid("furiosa-perf-32k")
    cells = list(grid.cells())
    assert len(cells) == len(set(cells)) == 50
    assert (grid.arrival, grid.requests_per_user) == ("burst", 3)
    assert cells[0] == (128, 128, 1)
    assert (512, 512, 512) in cells
    assert (7168, 1024, 64) in cells
    assert (31744, 1024, 64) not in cells


def test_shipped_grids_are_named_as_their_files() -> None:
    names = [grid.name for grid in list_grids()]
    assert names == ["furiosa-perf-128k", "furiosa-perf-32k", "on-device", "quick"]
    assert list(load_grid("furiosa-perf-128k").cells()) == [(130048, 1024, 1), (130048, 1024, 4)]
    assert len(list(load_grid("Quick").cells())) == 6
    assert {users for _, _, users in load_grid("on-device").cells()} == {1}


def test_a_users_own_grid(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GRID)
    assert list(load_grid(str(path)).cells()) == [(128, 128, 1), (128, 128, 4)]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("title", "titel", 2, "titel", "did you mean 'title'"),
        ("isl: 128", "isl: 0", 7, "points.0.isl", "greater than 0"),
        ("isl: 128", "isl: 1.5", 7, "points.0.isl", "integer"),
        ("[1, 4]", "[4, 1]", 7, "points.0", "users must rise"),
        ("[1, 4]", "[]", 7, "points.0.users", "at least 1"),
        ("burst", "poisson", 4, "arrival", "burst"),
        ("per_user: 3", "per_user: -3", 5, "requests_per_user", "greater than 0"),
    ],
)
def test_a_grids_mistake(tmp_path: Path, old: str, new: str, line: int, key: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GRID.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        load_grid(str(path))
    assert (caught.value.location, caught.value.key) == (f"{path}:{line}", key)


def test_a_shape_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GRID + "  - {isl: 128, osl: 128, users: [8]}\n")
    with pytest.raises(UserError, match="128/128 is given twice"):
        load_grid(str(path))


def test_unknown_grids(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'quick'"):
        load_grid("quik")
    with pytest.raises(UserError, match="known: furiosa-perf-128k"):
        load_grid("zzz")
    with pytest.raises(UserError, match="cannot be read"):
        load_grid(str(tmp_path / "none.yaml"))
