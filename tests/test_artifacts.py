"""Several compiled artifacts in one server: a step runs in the smallest that holds it, under both schedulers alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st
from serving_support import MODEL, RNGD_26_3, interleaving

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.runtime import Artifact, Runtime
from npusim.hardware.yaml_file import load_yaml
from npusim.mapping.artifacts import compiled_sizes, loaded, smallest, steps_within
from npusim.mapping.deployment import Deployment
from npusim.serving.load import Load
from npusim.serving.simulate import serve_as_process, serve_compiled, simulate
from npusim.workload.arrivals import Closed
from npusim.workload.prompts import Segment
from npusim.workload.step import decode, mixed, prefill

Deploy = Callable[..., Deployment]
EXAMPLE = Path("examples/furiosa-two-artifacts.yaml")
TOLD = {"kind": "buckets", "source": "supposed"}
SMALL = Artifact.model_validate(
    {
        "name": "small",
        "decode_batch": TOLD | {"sizes": [1, 2, 3]},
        "prefill_chunk": TOLD | {"sizes": [128, 192]},
        "tokenwise": TOLD | {"sizes": [160, 192]},
        "attention": {"kind": "grouped", "contexts": [512], "source": "supposed"},
    }
)


def _with(where: Deployment, *artifacts: Artifact) -> Deployment:
    return replace(where, runtime=where.runtime.model_copy(update={"artifacts": artifacts}))


@pytest.fixture(scope="module")
def plain(deployed: Deploy) -> Deployment:
    arch, runtime = RNGD_26_3
    return interleaving(deployed(arch, MODEL, runtime=runtime), 300)


@pytest.fixture(scope="module")
def both(plain: Deployment) -> AnalyticEngine:
    return AnalyticEngine(_with(plain, SMALL), 16)


@pytest.fixture(scope="module")
def alone(plain: Deployment) -> dict[str, AnalyticEngine]:
    """An engine for each artifact by itself."""
    (own, small) = loaded(_with(plain, SMALL).runtime, plain.system)
    records = {own.name: plain.runtime_record, small.name: small.under(plain.runtime_record)}
    shapes = {own.name: plain.runtime, small.name: small.runtime}
    return {
        name: AnalyticEngine(replace(plain, runtime=shapes[name], runtime_record=records[name]), 16) for name in records
    }


@pytest.mark.parametrize(
    ("step", "artifact"),
    [
        (decode([200, 300, 400]), "small"),  # 3 sequences, where the own shapes compute 4
        (decode([200, 300, 513]), "own"),  # a context that the small one lacks
        (decode([200] * 4), "own"),  # a batch that it lacks
        (decode([200]), "small"),  # as many, in a smaller context
        (prefill(1, 140), "small"),  # 192 tokens, where the own shapes compute 256
        (prefill(1, 192, 512), "small"),
        (prefill(1, 193), "own"),
        (mixed([200, 300, 400], [(140, 300)]), "small"),
    ],
)
def test_a_step_costs_what_its_artifact_takes(
    both: AnalyticEngine, alone: dict[str, AnalyticEngine], step: object, artifact: str
) -> None:
    assert both.cost(step).time_s == alone[artifact].cost(step).time_s
    other = next(name for name in alone if name != artifact)
    assert both.cost(step).time_s != alone[other].cost(step).time_s


def test_a_run_of_steps_ends_where_another_artifact_takes_over(both: AnalyticEngine) -> None:
    """Two sequences at 509 and 100 tokens: three steps in the small artifact, whose contexts reach 512."""
    held = np.array([509, 100])
    run = both.decode_run(held, 16, 50, np.inf, 0, 0)
    assert len(run.times_s) == 3
    further = both.decode_run(held + 3, 16, 50, np.inf, 0, 0)
    assert len(further.times_s) == 50
    assert further.times_s[0] == pytest.approx(both.with_host(both.cost(decode([513, 104], 16)), 2).time_s, rel=1e-12)


@given(
    contexts=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    chunks=st.lists(st.integers(1, 400), max_size=2),
)
def test_none_that_holds_a_step_computes_less(plain: Deployment, contexts: list[int], chunks: list[int]) -> None:
    artifacts = loaded(_with(plain, SMALL).runtime, plain.system)
    step = mixed(contexts, [(each, each) for each in chunks])
    chosen = smallest(artifacts, step)
    longest = int(step.context.max())
    fitting = [each for each in artifacts if each.holds(step) and longest <= each.contexts[-1]]
    assert chosen in fitting
    assert chosen.tokens(step) == min(each.tokens(step) for each in fitting)
    within = steps_within(artifacts, longest, 1)
    assert smallest(artifacts, mixed([each + within - 1 for each in contexts], [])) is smallest(
        artifacts, mixed(contexts, [])
    ) or longest != max(contexts)


def test_both_schedulers_serve_alike_and_note_the_artifacts(plain: Deployment) -> None:
    where = _with(plain, SMALL)
    lengths = [(int(isl), int(osl)) for isl, osl in np.random.default_rng(1).integers(1, (700, 60), (20, 2))]
    load = Load(700, 60, Closed(4), [(Segment(index, isl),) for index, (isl, _) in enumerate(lengths)], lengths)
    engines = AnalyticEngine(where, 16), AnalyticEngine(where, 16)
    runs = [
        simulate(where, load, 3, engines[0], serve_compiled),
        simulate(where, load, 3, engines[1], serve_as_process),
    ]
    for name in ("interval_s", "interval_weight", "span_s", "span_j"):
        assert getattr(runs[0].record, name).tobytes() == getattr(runs[1].record, name).tobytes(), name
    assert all(steps > 0 for steps in engines[0].steps_by_artifact.values())
    slower = simulate(plain, load, 3)
    assert runs[0].duration_s < slower.duration_s


def test_limits_are_those_of_all_artifacts(plain: Deployment) -> None:
    runtime = _with(plain, SMALL).runtime
    assert compiled_sizes(runtime, "decode_batch")[:4] == (1, 2, 3, 4)
    assert compiled_sizes(runtime, "prefill_chunk")[:3] == (128, 192, 256)
    assert compiled_sizes(runtime, "tokenwise")[:4] == (128, 160, 192, 256)
    assert compiled_sizes(runtime, "attention")[0] == 512


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"artifacts": [SMALL.model_dump(), SMALL.model_dump()]}, "names of their own"),
        ({"artifacts": [SMALL.model_dump() | {"name": "own"}]}, "none may be called own"),
        (
            {"artifacts": [SMALL.model_dump()], "decode_batch": {"kind": "exact", "source": "-"}},
            "beside compiled shapes",
        ),
    ],
)
def test_artifacts_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    path = tmp_path / "runtime.yaml"
    path.write_text(yaml.safe_dump({"based_on": "furiosa-llm-2026.3", "name": "two", "title": "Two", **changes}))
    with pytest.raises(UserError, match=told):
        load_yaml(path, Runtime)


def test_the_command_tells_which_artifact_ran_how_many_steps() -> None:
    words = (
        "run",
        "rngd",
        "qwen2.5-0.5b",
        "--isl",
        "700",
        "--osl",
        "8",
        "--concurrency",
        "2",
        "--runtime",
        str(EXAMPLE),
    )
    told = tell(*words, "--explain", "--json").json["steps_by_artifact"]
    assert set(told) == {"own", "1024"}
    assert sum(told.values()) > 0
    assert "steps_by_artifact" not in tell(*words, "--json").json
    assert "the event engine runs one artifact" in mistake(*words, "--engine", "event", "--requests", "1")
