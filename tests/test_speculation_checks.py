"""Runs with speculative decoding are neither accused nor a way to pass what no chip can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_support import tell

from npusim.bounds.bandwidth import bandwidth
from npusim.bounds.finding import IMPLAUSIBLE, IMPOSSIBLE, PLAUSIBLE
from npusim.bounds.load import MOST_A_STEP, BoundedLoad, load_of
from npusim.bounds.reading import Reading
from npusim.conditions.conditions import Conditions
from npusim.conditions.question import Question
from npusim.errors import UserError
from npusim.lab.files.table_runs import table_runs
from npusim.mapping.deployment import deploy
from npusim.serving.bounded import run_limits
from npusim.serving.load import random_load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.catalog import load_model
from npusim.workload.precision import resolve_precision

MODEL, TPOT = "llama-3.1-8b", "tpot_ms_mean"


def _load(**told: Any) -> BoundedLoad:
    from dataclasses import replace

    scheme = resolve_precision("bf16", "bf16")
    return replace(load_of("h200", load_model(MODEL), (scheme, scheme), 1, 1024, 256), users=1.0, **told)


def _verdict(milliseconds: float, **told: Any) -> str:
    (found,) = bandwidth(_load(**told), {TPOT: Reading.exact(milliseconds)})
    return found.verdict


def test_a_step_reads_weights_once_and_gives_no_more_than_was_drafted_and_one() -> None:
    (found,) = bandwidth(_load(), {TPOT: Reading.exact(5.0)})
    least = found.limit
    assert least is not None and 2.5 < least < 5.0
    assert _verdict(0.5 * least) == IMPOSSIBLE
    assert _verdict(0.5 * least, tokens_per_step=4.0) == PLAUSIBLE
    assert _verdict(0.9 * least / 4.0, tokens_per_step=4.0) == IMPOSSIBLE


def test_what_nobody_tells_is_open() -> None:
    """Drafts that nobody tells of take the certainty, not the doubt, and only as far as any are known to go."""
    (found,) = bandwidth(_load(), {TPOT: Reading.exact(5.0)})
    assert found.limit is not None
    assert _verdict(0.5 * found.limit, drafts_open=True) == IMPLAUSIBLE
    assert _verdict(0.9 * found.limit / MOST_A_STEP, drafts_open=True) == IMPOSSIBLE
    (open_,) = bandwidth(_load(drafts_open=True), {TPOT: Reading.exact(0.5 * found.limit)})
    assert "--speculate" in open_.reason


def test_intervals_know_how_many_tokens_a_step_gives() -> None:
    load = random_load(512, 64, Closed(1), 1)
    plain, fast = (deploy("h200", MODEL, drafting=each) for each in (None, "ngram:k=3:a=1"))
    least = [run_limits(where, load, [TPOT]).least[TPOT] for where in (plain, fast)]
    assert least[0] == pytest.approx(4 * least[1])
    assert least[1] < measure(simulate(fast, load, 0))[TPOT] < least[0]


def test_speculation_is_a_condition() -> None:
    question = Question("h200", MODEL, 2048)
    assumed = Conditions(cards=1).assumed(question)
    assert assumed["speculation"] == "none" and assumed.deployment.drafting is None
    told = Conditions(cards=1, speculation="ngram:k=2:a=0.5").assumed(question)
    assert told.deployment.drafted == 2
    with pytest.raises(UserError, match="same vocabulary"):
        Conditions(cards=1, speculation="draft:qwen2.5-0.5b").assumed(question)


def _bench(folder: Path, run: RunMetrics, faster: float = 1.0, **more: float) -> Path:
    """A run as `vllm bench serve` writes it, `faster` times as fast as it was."""
    seconds = run["duration_s"] / faster
    told = {
        "backend": "vllm", "model_id": MODEL, "num_prompts": 24, "completed": 24, "max_concurrency": 8,
        "duration": seconds, "total_input_tokens": 24 * 1024, "total_output_tokens": 24 * 256,
        "request_throughput": 24 / seconds, "output_throughput": 24 * 256 / seconds,
        "mean_tpot_ms": run[TPOT] / faster,
    }  # fmt: skip
    path = folder / "bench.json"
    path.write_text(json.dumps(told | more))
    return path


def _checked(path: Path, *words: str) -> dict[str, Any]:
    where = (
        "--arch",
        "h200",
        "--cards",
        "1",
        "--precision",
        "bf16",
        "--kv-precision",
        "bf16",
        "--runtime",
        "vllm-0.24",
    )
    return dict(tell("check", path, *where, "--json", *words).json["rows"][0])


def test_an_honest_run_is_not_accused_and_a_false_one_is(tmp_path: Path) -> None:
    """What npusim itself predicts with drafts; the same told without; and three times as fast."""
    text = "ngram:k=5:a=0.8"
    where = deploy("h200", MODEL, runtime="vllm-0.24", drafting=text)
    run = measure(simulate(where, random_load(1024, 256, Closed(8), 24), 0))
    path = _bench(tmp_path, run)
    assert _checked(path, "--speculate", text)["verdict"] == PLAUSIBLE
    assert _checked(path, "--speculate", "none")["verdict"] in (IMPLAUSIBLE, IMPOSSIBLE)
    assert _checked(path)["verdict"] == IMPLAUSIBLE
    counted = _bench(tmp_path, run, spec_decode_acceptance_length=3.6)
    assert _checked(counted)["verdict"] not in (IMPLAUSIBLE, IMPOSSIBLE)
    assert _checked(_bench(tmp_path, run, 3.0), "--speculate", text)["verdict"] in (IMPLAUSIBLE, IMPOSSIBLE)


def test_a_table_tells_how_tokens_were_drafted(tmp_path: Path) -> None:
    import pandas as pd

    told = {"ngram": "ngram:k=2:a=0.5,0.4", "llama-3.2-1b": "draft:llama-3.2-1b:k=2:a=0.5,0.4", "": "none"}
    for who, expected in told.items():
        drafted, together = (2, "0.5 0.2") if who else (0, "")
        path = tmp_path / "measured.csv"
        path.write_text(
            f"model,isl,osl,concurrency,tpot_ms_mean,draft,drafted,acceptance\n{MODEL},1024,256,8,3.0,{who},{drafted},{together}\n"
        )
        ((_, run),) = table_runs(path, pd.read_csv(path, dtype=str, keep_default_na=False))
        assert run.setting.speculation == expected
