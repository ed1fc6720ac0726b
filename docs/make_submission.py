"""Writes examples/submission, made-up runs for `npusim certify`: `python docs/make_submission.py`.

npusim simulates Llama 3.1 8B on one RNGD; every request then gets errors of its own, drawn with SEED, three times a
cell. Files are those of furiosa-perf: a summary, and for each point the result of `vllm bench serve` and a power log.
Nothing of it was measured.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from npusim.mapping.deployment import deploy
from npusim.serving.load import make_load
from npusim.serving.metrics import measure
from npusim.serving.served import column_of
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import parse_arrival
from npusim.workload.lengths import FIXED, Lengths

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "submission"
SEED = 20261201
ISL = OSL = 1024
USERS, REPEATS, PER_USER = (16, 32, 64), 3, 3
MODEL = "furiosa-ai/Llama-3.1-8B-Instruct"
SDK = "furiosa-llm 2026.3.0"
TREE = "RNGD_1_furiosa-llm_2026.3.0/benchmark/32k/Llama-3.1-8B-Instruct"
BAD, BAD_USERS, PER_MINUTE = "run4-BAD-made-up", 64, 60.0
"""The bad run: its rates are per minute, where tokens per second are asked for."""
RUN_ERROR, REQUEST_ERROR, FIRST_ERROR, WATT_ERROR = 0.004, 0.002, 0.015, 0.01
"""Standard deviations: of a run's pace, of a request's beside it, of first tokens, of a sample of watts."""
FIRST_HOUR = 10
"""Of a day at which its first cell was run."""
LABEL = "made up with npusim, not measured"
PREAMBLE = [
    "* Framework Version: " + SDK,
    "* API Server Command: furiosa-llm serve " + MODEL + " --devices npu:0 --no-enable-prefix-caching",
    "* Performance Benchmark - vllm bench serve (" + LABEL + ")",
    "* Model Info: " + MODEL,
    "* Device Info: RNGD x 1",
]
STATISTICS = {"Mean": None, "Median": 50, "P25": 25, "P50": 50, "P75": 75, "P90": 90, "P95": 95, "P99": 99}


def main() -> None:
    """All runs, anew."""
    for old in FOLDER.glob("run*"):
        shutil.rmtree(old)
    rng = np.random.default_rng(SEED)
    plain = {users: simulated(users) for users in USERS}
    for number in range(1, REPEATS + 1):
        write_run(f"run{number}", {users: repeated(plain[users], rng) for users in USERS}, f"2026-11-{number + 9:02d}")
    bad = repeated(plain[BAD_USERS], rng)
    bad["rate"] *= PER_MINUTE
    write_run(BAD, {BAD_USERS: bad}, f"2026-11-{REPEATS + 10:02d}")


def simulated(users: int) -> dict[str, Any]:
    """Times of the requests of a cell in seconds, (requests,) each, its duration and its mean watts."""
    deployment = deploy("rngd", "llama-3.1-8b", precision="bf16", cards=1)
    lengths = Lengths(ISL, FIXED), Lengths(OSL, FIXED)
    load = make_load(*lengths, parse_arrival("burst", users), PER_USER * users, 0)
    run = simulate(deployment, load, 0)
    figures = measure(run)
    sent, first, last = (column_of(run.record.requests, name) for name in ("sent_s", "first_token_s", "last_token_s"))
    return {"ttft": first - sent, "tpot": (last - first) / (OSL - 1), "s": figures["duration_s"],
            "w": figures["power_w_mean"], "users": users}  # fmt: skip


def repeated(plain: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The cell once more: a pace of the run, errors of its requests; all else follows from these."""
    count = len(plain["ttft"])
    tpot = plain["tpot"] * np.exp(rng.normal(0.0, RUN_ERROR) + rng.normal(0.0, REQUEST_ERROR, count))
    ttft = plain["ttft"] * np.exp(rng.normal(0.0, FIRST_ERROR) + rng.normal(0.0, FIRST_ERROR, count))
    e2e = ttft + tpot * (OSL - 1)
    seconds = plain["s"] * float(e2e.mean() / (plain["ttft"] + plain["tpot"] * (OSL - 1)).mean())
    watts = plain["w"] * np.exp(rng.normal(0.0, WATT_ERROR) + rng.normal(0.0, WATT_ERROR, round(seconds)))
    return {"ttft": ttft, "tpot": tpot, "e2e": e2e, "s": seconds, "rate": count * OSL / seconds, "watts": watts,
            "users": plain["users"]}  # fmt: skip


def write_run(name: str, cells: dict[int, dict[str, Any]], day: str) -> None:
    """One run of each cell as furiosa-perf's tree."""
    place = FOLDER / name / TREE
    place.mkdir(parents=True)
    columns = ["Input Tokens", "Output Tokens", "Concurrent", "Output Throughput(tok/s)", "Total Throughput(tok/s)"]
    columns += [f"{each} {part}" for each in STATISTICS for part in ("TTFT(s)", "TPOT(ms)", "E2EL(s)")]
    columns += ["mean_power", "p95_power", "p99_power"]
    rows = [",".join(summary_row(cell)) for cell in cells.values()]
    lines = [*PREAMBLE, f"* date: {day}", "* Scenario Results:", ",".join(columns), *rows]
    (place / f"summary_{ISL}_{OSL}.csv").write_text("\n".join(lines) + "\n")
    for hour, (users, cell) in enumerate(cells.items(), start=FIRST_HOUR):
        point = place / f"{ISL}.{OSL}.{users}"
        point.mkdir()
        stamp = f"{day.replace('-', '')}-{hour}0000"
        result = point / f"vllm-infqps-concurrency{users}-Llama-3.1-8B-Instruct-{stamp}.json"
        result.write_text(json.dumps(bench(cell, stamp), indent=1) + "\n")
        (point / "RNGD_1_monitoring_log.csv").write_text("\n".join(log(cell, day, hour)) + "\n")


def summary_row(cell: dict[str, Any]) -> Iterator[str]:
    """The row of a summary: first tokens and answers in seconds, tokens in milliseconds."""
    yield from (str(ISL), str(OSL), str(cell["users"]), f"{cell['rate']:.2f}", f"{2.0 * cell['rate']:.2f}")
    for percentile in STATISTICS.values():
        for part, factor, digits in (("ttft", 1.0, 3), ("tpot", 1e3, 2), ("e2e", 1.0, 3)):
            yield f"{statistic(cell[part], percentile) * factor:.{digits}f}"
    yield from (f"{statistic(np.round(cell['watts'], 2), each):.2f}" for each in (None, 95, 99))


def statistic(values: np.ndarray, percentile: int | None) -> float:
    """A percentile, or the mean."""
    return float(values.mean() if percentile is None else np.percentile(values, percentile))


def bench(cell: dict[str, Any], stamp: str) -> dict[str, Any]:
    """The result of `vllm bench serve`."""
    count, rate = len(cell["ttft"]), cell["rate"]
    found: dict[str, Any] = {
        "date": stamp, "endpoint_type": "openai", "backend": "openai", "label": LABEL, "model_id": MODEL,
        "tokenizer_id": MODEL, "num_prompts": count, "request_rate": "inf", "burstiness": 1.0,
        "max_concurrency": cell["users"], "duration": round(cell["s"], 3), "completed": count, "failed": 0,
        "total_input_tokens": count * ISL, "total_output_tokens": count * OSL,
        "request_throughput": round(rate / OSL, 5), "output_throughput": round(rate, 3),
        "total_token_throughput": round(2.0 * rate, 3),
    }  # fmt: skip
    for part, name in (("ttft", "ttft"), ("tpot", "tpot"), ("e2e", "e2el")):
        values = cell[part] * 1e3
        told = {"mean": values.mean(), "median": np.median(values), "std": values.std(), "p99": statistic(values, 99)}
        found |= {f"{which}_{name}_ms": round(float(value), 3) for which, value in told.items()}
    return found


def log(cell: dict[str, Any], day: str, hour: int) -> Iterator[str]:
    """furiosa-perf's log of the card, a sample a second."""
    yield "timestamp,used_device_num,power_consumption,peak_temperature,avg_utilization"
    for second, watts in enumerate(np.round(cell["watts"], 2).tolist()):
        yield f"{day} {hour}:{second // 60:02d}:{second % 60:02d},1,{watts:.2f},61.0,97.0"


if __name__ == "__main__":
    main()
