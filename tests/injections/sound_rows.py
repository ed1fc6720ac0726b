"""Published runs as rows that every writer of a lab's files can print: figures by npusim's names, and what was run."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from npusim.evidence.measured.importer import import_table

Row = dict[str, float | str]
"""Figures, and isl, osl, users, requests, duration_s, model, device, cards, date."""

DATA = Path(__file__).resolve().parents[2] / "validation" / "data"
DATE = "2026-11-10"
_COLUMNS = {"power_w": "power_w_mean", "concurrency": "users"}
_LATENCY = re.compile(r"(ttft|tpot|itl|e2e)_ms_(mean|p\d+)")
_KEPT = ("output_tokens_per_s", "total_tokens_per_s", "tokens_per_joule", "power_w_mean")
_RUN = ("isl", "osl", "users", "requests", "duration_s")


def _row(cells: dict[str, str], engine: str) -> Row:
    found: Row = {"model": cells["model"], "device": "H200", "cards": 1.0, "date": DATE, "engine": engine}
    for column, text in cells.items():
        name = _COLUMNS.get(column, column)
        if text and (name in (*_KEPT, *_RUN) or _LATENCY.fullmatch(name)):
            found[name] = float(text)
    out = float(found["output_tokens_per_s"])
    found.setdefault("tokens_per_joule", round(out / float(found["power_w_mean"]), 3))
    found["tokens_per_s_per_user"] = round(1e3 / float(found["tpot_ms_mean"]), 2)
    found["requests_per_s"] = round(float(found["requests"]) / float(found["duration_s"]), 4)
    return found


def _table(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def vllm_runs() -> list[Row]:
    """Runs of vLLM on one H200 without drafted tokens; the first four are of one model."""
    plain = [cells for cells in _table("h200/vllm_speculative.csv") if not cells["draft"]]
    return [_row(cells, "vllm_0.24.0") for cells in (*plain, *_table("h200/vllm_long_prompts.csv"))]


def engine_runs() -> list[Row]:
    """Runs of another engine on the same card."""
    return [_row(cells, "engine_1.0") for cells in _table("h200/serving.csv") if cells["policy"] == "prefill"]


def rngd_runs() -> Iterator[Row]:
    """Published runs of RNGD that tell the rate of all users, and that their own source does not contradict."""
    runs: dict[tuple[str, ...], Row] = {}
    contradicted = {
        skip.row for skip in import_table(DATA / "rngd" / "serving.csv").skips if "contradicts" in skip.reason
    }
    for number, cells in enumerate(_table("rngd/serving.csv")):
        key = tuple(cells[name] for name in ("lab", "sdk", "cards", "model", "isl", "osl", "concurrency", "date"))
        if (
            cells["lab"] == "vendor"
            or number in contradicted
            or not all((cells["isl"], cells["osl"], cells["concurrency"]))
        ):
            continue
        row = runs.setdefault(
            key,
            {
                "model": cells["model"],
                "device": "RNGD",
                "cards": float(cells["cards"]),
                "date": cells["date"],
                "sdk": cells["sdk"],
            },
        )
        row |= {name: float(cells[column]) for name, column in zip(_RUN, ("isl", "osl", "concurrency"), strict=False)}
        value = float(cells["value"])
        if cells["metric"] == "throughput_total":
            row["output_tokens_per_s"] = value
        elif cells["metric"] == "ttft_p50":
            row["ttft_ms_p50"] = 1e3 * value
        elif cells["metric"] == "ttft_p95":
            row["ttft_ms_p95"] = 1e3 * value
        elif cells["metric"] == "tps_per_request_p50":
            row["tpot_ms_p50"] = 1e3 / value
        if cells["power_w"]:
            row["power_w_mean"] = float(cells["power_w"])
    yield from (row for row in runs.values() if "output_tokens_per_s" in row and float(row["users"]).is_integer())
