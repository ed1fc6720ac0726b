"""Many instances at once: cells, what each serves of a trace, and that nothing hangs on who simulates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.api.fleet_loads import traced_load
from npusim.explore.fleet import capacity, numbers
from npusim.explore.fleet.cells import fleet_cells
from npusim.explore.fleet.traced import TracedLoad, served_trace, shared_out
from npusim.explore.sweep.backend import Backend
from npusim.mapping.deployment import deploy
from npusim.serving.load import Load
from npusim.serving.slo import parse_slo
from npusim.workload.arrivals import Timed, Turns
from npusim.workload.prompts import OwnPrompts

SAMPLES = Path(__file__).parent / "samples"
LOAD = SAMPLES / "load-tiny.yaml"
SLO = "ttft_p99=1s,tpot_p99=40ms"
WORDS = ("rngd", "qwen2.5-0.5b", "--profile", str(SAMPLES / "profile-small.yaml"), "--cards", "1", "--json")
CELLS = [3, 2]


@pytest.fixture(scope="module")
def tiny() -> TracedLoad:
    found = traced_load(str(LOAD), None, 0)
    assert found is not None
    return found


def served(traced: TracedLoad, where: Backend, slo: str = SLO) -> dict[str, Any]:
    instance = deploy("rngd", "qwen2.5-0.5b", tokens=2048, cards=1)
    return served_trace(instance, traced, CELLS, "least_loaded", parse_slo(slo), 0, where)


@given(st.integers(1, 1024))
def test_cells_are_small_and_equal_and_of_several_an_even_number(instances: int) -> None:
    cells = fleet_cells(instances)
    assert sum(cells) == instances
    assert max(cells) <= 20 and max(cells) - min(cells) <= 1
    assert len(cells) == 1 or len(cells) % 2 == 0
    assert len(cells) <= instances // 20 + 2


def test_each_session_goes_whole_to_one_cell(tiny: TracedLoad) -> None:
    load, arrival = tiny.load, tiny.load.arrival
    assert isinstance(arrival, Turns)
    parts = shared_out(load, CELLS, 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(load.prompts)))
    assert all(len(part) for part in parts)
    before = np.array(arrival.before)
    for part in parts:
        assert set(before[part][before[part] >= 0]) <= set(part.tolist())
        _check_part(load, load.only(part), part)


def _check_part(load: Load, own: Load, part: np.ndarray) -> None:
    """Requests are those of the whole: lengths, waits, sessions, and what their prompts have in common."""
    assert isinstance(own.arrival, Turns) and isinstance(load.arrival, Turns)
    assert np.array_equal(own.tokens, load.tokens[part])
    assert np.array_equal(own.arrival.wait_s, np.array(load.arrival.wait_s)[part])
    for place, request in enumerate(part.tolist()):
        before = own.arrival.before[place]
        assert (part[before] if before >= 0 else before) == load.arrival.before[request]
        assert own.prompts[place] == load.prompts[request]
    assert np.array_equal(part[own.arrival.first], load.arrival.first[part])


def test_requests_without_sessions_are_shared_out_by_the_size_of_cells() -> None:
    count = 20_000
    tokens = np.tile([[30, 5]], (count, 1))
    load = Load(30, 5, Timed(tuple(np.arange(count) * 0.1)), OwnPrompts(tokens[:, 0]), tokens, warm_up=100)
    parts = shared_out(load, CELLS, 3)
    assert len(parts[0]) == pytest.approx(0.6 * count, rel=0.03)
    assert sum(load.only(part).warm_up for part in parts) == 100


def test_the_same_at_any_number_of_workers_and_another_seed_moves_it(tiny: TracedLoad) -> None:
    alone = served(tiny, Backend(workers=1))
    assert alone == served(tiny, Backend(workers=2))
    assert alone["requests"] == len(tiny.load.prompts)
    assert (alone["refused"], alone["kept"]) == (0, True)
    assert alone["ttft_ms_p50"] < alone["ttft_ms_p99"] < alone["e2e_ms_p99"]
    assert not served(tiny, Backend(), slo="ttft_p99=1us")["kept"]
    assert shared_out(tiny.load, CELLS, 1)[0].tolist() != shared_out(tiny.load, CELLS, 0)[0].tolist()


def test_refused_requests_are_told_and_break_objectives(tiny: TracedLoad) -> None:
    tokens = tiny.load.tokens.copy()
    tokens[5, 1] = 10**6
    told = served(replace(tiny, load=replace(tiny.load, lengths=tokens)), Backend())
    assert (told["refused"], told["kept"]) == (1, False)
    assert told["requests"] == len(tokens)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(capacity, "REQUESTS", 120)
    monkeypatch.setattr(numbers, "MACHINES", 6)
    monkeypatch.setattr(numbers, "ERRORS_EACH", 4)
    yield


def test_the_command_serves_a_load_or_a_trace(quick: None, tmp_path: Path) -> None:
    words = (*WORDS[:-1], "--users", "1e6", "--slo", SLO, "--direct", "5", "--workers", "1")
    (option,) = tell("fleet", *words, "--load", str(LOAD), "--json").json["options"]
    direct = option["direct"]
    assert (direct["instances"], direct["load"]["name"], direct["kept"]) == (5, "tiny", True)
    trace = tmp_path / "day.csv"
    trace.write_text("isl,osl\n100,10\n", encoding="utf-8")
    assert "tells no times" in mistake("fleet", *words, "--trace", str(trace))
    assert "leave it out, or --trace" in mistake("fleet", *words, "--trace", str(trace), "--load", "chat")
    assert "--direct" in mistake("fleet", *words[:-4], "--workers", "1", "--load", "chat")
