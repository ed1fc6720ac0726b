"""Writers of files as labs hand them over, one for each format: rows in, the path to check out."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
from sound_rows import Row

from npusim.kperf.measuring import ASKED, MEASURING_COLUMNS
from npusim.kperf.table import COLUMNS
from npusim.lab.files.lab_run import RunConditions

_LATENCY = re.compile(r"(?P<part>ttft|tpot|itl|e2e)_ms_(?P<statistic>mean|min|max|std|p\d+)")
TOLD = {"precision": "bf16", "kv_precision": "bf16", "prefix_caching": False, "prompts": "different"}
"""What the published runs were, and files of most formats do not tell."""


@dataclass(frozen=True)
class LabFormat:
    """name: of the tool; write: rows into a folder; given: what its files cannot tell of a row."""

    name: str
    write: Callable[[Path, Sequence[Row]], Path]
    given: Callable[[Row], RunConditions]


def _latencies(row: Row) -> Iterator[tuple[str, str, float]]:
    for name, value in row.items():
        found = _LATENCY.fullmatch(name)
        if found is not None:
            yield found["part"], found["statistic"], float(value)


def _int(row: Row, name: str) -> int:
    return round(float(row[name]))


def _tokens(row: Row, side: str) -> int:
    return round(float(row.get(f"tokens_{side}", float(row["completed"]) * float(row[side]))))


def counted(row: Row) -> Row:
    """The row with what the tools count beside its figures."""
    return {"completed": row.get("requests", 0.0), "failed": 0.0} | row


# furiosa-perf


def furiosa_perf(folder: Path, rows: Sequence[Row]) -> Path:
    first = rows[0]
    sdk = f"furiosa-llm_{first['sdk']}" if "sdk" in first else str(first["engine"])
    top = folder / f"{first['device']}_{_int(first, 'cards')}_{sdk}"
    place = top / "benchmark" / "t" / str(first.get("folder_model", first["model"]))
    place.mkdir(parents=True)
    titles = {"mean": "Mean", "p50": "Median"}
    names = list(dict.fromkeys((part, statistic) for row in rows for part, statistic, _ in _latencies(row)))
    known = [each for each in names if each[0] != "itl" and each[1][0] in "pm" and each[1] not in ("min", "max")]
    heads = [
        f"{titles.get(statistic, statistic.upper())} " + {"ttft": "TTFT(s)", "tpot": "TPOT(ms)", "e2e": "E2EL(s)"}[part]
        for part, statistic in known
    ]
    power = ["mean_power"] if any("power_w_mean" in row for row in rows) else []
    lines = [
        "* Ubuntu Version: 22.04",
        f"* Framework Version: {sdk.replace('_', ' ')}",
        f"* Model Info: {first['model']}",
        f"* Device Info: {first['device']} x {_int(first, 'told_cards' if 'told_cards' in first else 'cards')}",
        f"* date: {first['date']}",
        "* Scenario Results:",
        ",".join(
            [
                "Input Tokens",
                "Output Tokens",
                "Concurrent",
                "Output Throughput(tok/s)",
                "Total Throughput(tok/s)",
                *heads,
                *power,
            ]
        ),
    ]
    for row in rows:
        out = float(row["output_tokens_per_s"])
        total = float(row.get("total_tokens_per_s", out * (float(row["isl"]) + float(row["osl"])) / float(row["osl"])))
        cells = [f"{_int(row, name)}" for name in ("isl", "osl", "users")] + [f"{out:.2f}", f"{total:.2f}"]
        for part, statistic in known:
            value = row.get(f"{part}_ms_{statistic}")
            factor, digits = (1.0, 2) if part == "tpot" else (1e-3, 3)
            cells.append("" if value is None else f"{float(value) * factor:.{digits}f}")
        cells += [f"{float(row['power_w_mean']):.2f}" if "power_w_mean" in row else ""] if power else []
        lines.append(",".join(cells))
        if "log" in row:
            _monitoring(place / f"{_int(row, 'isl')}.{_int(row, 'osl')}.{_int(row, 'users')}", row)
    (place / "summary.csv").write_text("\n".join(lines) + "\n")
    return top


def noisy(mean: float, samples: int) -> np.ndarray:
    """Watts of a card at work, around a mean to a hundredth."""
    noise = np.random.default_rng(7).normal(0.0, 0.02 * mean, samples)
    return np.round(mean + noise - noise.mean(), 2)


def _monitoring(folder: Path, row: Row) -> None:
    folder.mkdir()
    samples = _int(row, "log")
    watts = noisy(float(row.get("log_w", row["power_w_mean"])), samples)
    watts = np.full(samples, watts[0]) if "log_still" in row else watts
    day = str(row.get("log_date", row["date"]))
    head = "timestamp,used_device_num,power_consumption,peak_temperature,avg_utilization"
    lines = [
        f"{day} 11:{at // 60 % 60:02d}:{at % 60:02d},1,{value:.2f},61.0,97.0" for at, value in enumerate(watts.tolist())
    ]
    (folder / "H200_1_monitoring_log.csv").write_text("\n".join([head, *lines]) + "\n")


# vllm bench serve


def vllm(folder: Path, rows: Sequence[Row]) -> Path:
    for number, row in enumerate(map(counted, rows)):
        found: dict[str, Any] = {
            "date": str(row["date"]).replace("-", "") + "-110214",
            "backend": "vllm",
            "label": row.get("label"),
            "model_id": row["model"],
            "num_prompts": _int(row, "requests"),
            "request_rate": "inf",
            "max_concurrency": _int(row, "users"),
            "duration": float(row["duration_s"]),
            "completed": _int(row, "completed"),
            "failed": _int(row, "failed"),
            "total_input_tokens": _tokens(row, "isl"),
            "total_output_tokens": _tokens(row, "osl"),
            "request_throughput": row["requests_per_s"],
            "output_throughput": row["output_tokens_per_s"],
            "total_token_throughput": row["total_tokens_per_s"],
        }
        words = {"p50": "median"}
        for part, statistic, value in _latencies(row):
            found[f"{words.get(statistic, statistic)}_{ {'e2e': 'e2el'}.get(part, part) }_ms"] = value
        if "lists" in row:
            found |= _lists(row)
        (folder / f"infqps-{number}-20261110-110214.json").write_text(json.dumps(found))
    return folder


def _lists(row: Row) -> dict[str, Any]:
    count = _int(row, "lists")
    lens = {"input_lens": [_int(row, "isl")] * count, "output_lens": [_int(row, "osl")] * count}
    return lens | {"errors": [""] * (count - _int(row, "erased")) + ["timeout"] * _int(row, "erased")}


# AIPerf

_TAGS = {
    "ttft": "time_to_first_token",
    "tpot": "inter_token_latency",
    "itl": "inter_chunk_latency",
    "e2e": "request_latency",
}
_SINGLE = {
    "output_tokens_per_s": ("output_token_throughput", "tokens/sec"),
    "requests_per_s": ("request_throughput", "requests/sec"),
}


def _blocks(row: Row) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part, statistic, value in _latencies(row):
        block = found.setdefault(_TAGS[part], {"unit": "ms"})
        block["avg" if statistic == "mean" else statistic] = value
    for name, (tag, unit) in _SINGLE.items():
        found[tag] = {"unit": unit, "avg": row[name]}
    for side in ("isl", "osl"):
        tag = {"isl": "input_sequence_length", "osl": "output_sequence_length"}[side]
        found[tag] = {"unit": "tokens", "avg": row[side], "min": row[side], "max": row[side], "std": 0}
    counts = {"request_count": _int(row, "completed"), "error_request_count": _int(row, "failed")}
    found |= {tag: {"unit": "requests", "avg": count} for tag, count in counts.items()}
    found |= {f"total_{side}": {"unit": "tokens", "avg": _tokens(row, side)} for side in ("isl", "osl")}
    return found | {"benchmark_duration": {"unit": "sec", "avg": row["duration_s"]}}


def aiperf_json(folder: Path, rows: Sequence[Row]) -> Path:
    for number, row in enumerate(map(counted, rows)):
        start, seconds = str(row["date"]), float(row.get("wall_s", float(row["duration_s"]) + 5.0))
        place = folder / f"run{number}"
        place.mkdir()
        watts = {"unit": "W", "avg": row["power_w_mean"]}
        loadgen = {"concurrency": _int(row, "users"), "request_count": _int(row, "requests"), "isl": row["isl"]}
        whole = {
            "schema_version": "1.5",
            "start_time": f"{start}T09:00:00Z",
            "end_time": f"{start}T09:{int(seconds // 60):02d}:{seconds % 60:09.6f}Z",
            "input_config": {"endpoint": {"model_names": [row["model"]]}, "loadgen": loadgen | {"osl": row["osl"]}},
            "run_info": {"run_label": row.get("label")},
            "telemetry_data": {"endpoints": {"x": {"gpus": {"gpu_0": {"metrics": {"nvidia_power_usage": watts}}}}}},
        }
        (place / "profile_export_aiperf.json").write_text(json.dumps(whole | _blocks(row)))
    return folder


def aiperf_csv(folder: Path, rows: Sequence[Row]) -> Path:
    for number, row in enumerate(map(counted, rows)):
        place = folder / f"run{number}"
        place.mkdir()
        blocks = _blocks(row)
        spread = {tag: block for tag, block in blocks.items() if len(block) > _ONE}
        columns = list(dict.fromkeys(key for block in spread.values() for key in block if key != "unit"))
        lines: list[list[Any]] = [["Metric", *columns]]
        lines += [[_title(tag, block), *(block.get(key, "") for key in columns)] for tag, block in spread.items()]
        lines += [[], ["Metric", "Value"]]
        lines += [[_title(tag, block), block["avg"]] for tag, block in blocks.items() if tag not in spread]
        with (place / "profile_export_aiperf.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return folder


_ONE = 2


def _title(tag: str, block: dict[str, Any]) -> str:
    return f"{tag.replace('_', ' ').title()} ({block['unit']})"


# MLPerf LoadGen

_LOADGEN = {
    "requests_per_s": ("result_completed_samples_per_sec", 1.0),
    "output_tokens_per_s": ("result_completed_tokens_per_second", 1.0),
    "e2e_ms_mean": ("result_mean_latency_ns", 1e6),
    "ttft_ms_mean": ("result_first_token_mean_latency_ns", 1e6),
    "ttft_ms_p99": ("result_first_token_99.00_percentile_latency_ns", 1e6),
    "tpot_ms_mean": ("result_time_to_output_token_mean", 1e6),
    "tpot_ms_p99": ("result_time_per_output_token_99.00_percentile_ns", 1e6),
}


def loadgen(folder: Path, rows: Sequence[Row]) -> Path:
    row = rows[min(_TARGET, len(rows) - 1)]
    told: dict[str, Any] = {"requested_scenario": "Offline", "test_datetime": f"{row['date']}T09:00:00Z"}
    told["result_validity"] = row.get("validity", "VALID")
    told |= {
        key: round(float(row[name]) * factor) if factor > 1.0 else row[name]
        for name, (key, factor) in _LOADGEN.items()
        if name in row
    }
    lines = [f":::MLLOG {json.dumps({'key': key, 'value': value})}" for key, value in told.items()]
    (folder / "mlperf_log_detail.txt").write_text("\n".join(lines) + "\n")
    return folder


_TARGET = 1
"""Place of the row that errors are put into, and that a log of one run is of."""


# npusim's measured table, and the K-Perf workbook

_TABLE = [
    *("model", "dtype", "policy", "bucket", "isl", "osl", "concurrency", "requests", "duration_s"),
    *("ttft_ms_mean", "ttft_ms_p50", "ttft_ms_p99", "tpot_ms_mean", "tpot_ms_p50", "tpot_ms_p99", "e2e_ms_mean"),
    *("output_tokens_per_s", "total_tokens_per_s", "power_w", "tokens_per_joule", "date", "note"),
]


def plain_csv(folder: Path, rows: Sequence[Row]) -> Path:
    place = folder / "h200"
    place.mkdir()
    with (place / "serving.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_TABLE)
        for row in rows:
            own = row | {"dtype": "bf16", "policy": "prefill", "bucket": 256, "concurrency": _int(row, "users")}
            own |= {"power_w": row["power_w_mean"], "note": row.get("label", "")}
            own |= {name: _int(row, name) for name in ("isl", "osl", "requests")}
            writer.writerow([own.get(name, "") for name in _TABLE])
    return place / "serving.csv"


def workbook(folder: Path, rows: Sequence[Row]) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    labels = {column.name: column.label for column in (*MEASURING_COLUMNS, *COLUMNS)}
    first = rows[0]
    for title, value in _asked(first):
        sheet.append([title, value])
    names = ["isl", "osl", "users", *(f"measured_{name}" for name in _figures(rows))]
    sheet.append([labels[name] for name in names])
    for row in map(counted, rows):
        sheet.append([row.get(name.removeprefix("measured_")) for name in names])
    book.save(folder / "measured.xlsx")
    return folder / "measured.xlsx"


def _figures(rows: Iterable[Row]) -> list[str]:
    known = {
        column.name.removeprefix("measured_") for column in MEASURING_COLUMNS if column.name.startswith("measured_")
    }
    return [name for name in dict.fromkeys(name for row in rows for name in row) if name in known]


def _asked(row: Row) -> Iterator[tuple[str, Any]]:
    told = {"model": row["model"], "device": row["device"], "cards": _int(row, "cards"), "precision": "bf16"}
    told |= {"kv_precision": "bf16", "ignore_eos": "yes", "power_scope": "cards", "arrival": "closed"}
    told |= {"prefix_caching": "no", "prompts": "different", "date": row["date"], "repeats": row.get("label", 1)}
    yield from ((asked.title, told[asked.name]) for asked in ASKED if asked.name in told)
