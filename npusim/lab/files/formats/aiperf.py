"""AIPerf's exports of a run (schema 1.5) and genai-perf's, which it follows: JSON and CSV; the unit is authoritative.

Its inter-token latency is (latency - TTFT) / (output tokens - 1) of each request: npusim's TPOT. Chunks are npusim's
intervals between tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.limits import MOST_USERS
from npusim.lab.files.files import Line, count, csv_lines, mapping, no_negatives, reading, words
from npusim.lab.files.format import CSV, JSON, Format
from npusim.lab.files.lab_run import CLOSED, RATE, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import told_precision
from npusim.lab.files.power_log import seconds_of
from npusim.lab.files.unit_names import REQUESTS, SECONDS, TOKENS, factor
from npusim.metric_names import named_by, statistic
from npusim.metrics import AIPERF, UNIT_NAMES

TOOL = "AIPerf"
_SIZES: dict[str, dict[str, float]] = {
    "input_sequence_length": TOKENS,
    "output_sequence_length": TOKENS,
    "request_count": REQUESTS,
    "error_request_count": REQUESTS,
    "benchmark_duration": SECONDS,
    "total_isl": TOKENS,
    "total_osl": TOKENS,
    "total_output_tokens": TOKENS,
}
NAMES = {tag: row for tag, (row, _) in named_by(AIPERF).items() if row.unit != "W"}
"""Figures by their tags."""
_POWER = [tag for tag, (row, _) in named_by(AIPERF).items() if row.unit == "W"]
Blocks = Mapping[str, Mapping[str, Any]]


def is_export(found: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an export of a run."""
    return (
        any(isinstance(found.get(tag), dict) for tag, row in NAMES.items() if row.statistic) and "metadata" not in found
    )


def is_csv(text: str) -> bool:
    """Whether CSV text is an export: two blocks whose first column is Metric."""
    return text.lstrip().startswith("Metric,avg")


def runs(path: Path, objects: list[dict[str, Any]]) -> Iterator[LabRun]:
    """A run for every JSON object. Raises UserError."""
    for number, found in enumerate(objects, start=1):
        location = f"{path}#{number}" if len(objects) > 1 else str(path)
        no_negatives(location, found)
        blocks = {tag: block for tag, block in found.items() if isinstance(block, dict) and "unit" in block}
        yield _run(location, blocks, found.get("input_config") or {}, found)


def csv_runs(path: Path, text: str) -> Iterator[LabRun]:
    """The run of a CSV export: statistics, a blank line, single values. Raises UserError."""
    blocks: dict[str, dict[str, Any]] = {}
    for part, first in _csv_parts(text):
        header, lines = csv_lines(path, part, first)
        if header[0] != "Metric":
            continue
        for line in lines:
            tag, unit = _tag(line)
            values = {name: line[name].replace(",", "") for name in header[1:] if line.has(name)}
            blocks[tag] = {"unit": unit} | ({"avg": values["Value"]} if "Value" in values else values)
    if not blocks:
        raise UserError(str(path), "", "holds no metric; give the CSV as AIPerf wrote it")
    yield _run(str(path), blocks, {}, {})


def _csv_parts(text: str) -> Iterator[tuple[str, int]]:
    """Blocks apart by blank lines, with the number of their first line."""
    kept: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.strip():
            kept.append(line)
        elif kept:
            yield "\n".join(kept), number - len(kept)
            kept = []


def _tag(line: Line) -> tuple[str, str]:
    """ "Time to First Token (ms)" as the tag of the JSON export and its unit."""
    name, _, unit = line["Metric"].partition("(")
    return name.strip().lower().replace(" ", "_"), unit.rstrip(") ").strip() or "requests"


def _run(location: str, blocks: Blocks, config: Mapping[str, Any], whole: Mapping[str, Any]) -> LabRun:
    figures = dict(_figures(location, blocks))
    if not figures:
        raise UserError(location, "", "holds no figure that is known; give the export of a finished run")
    sizes = {tag: _size(location, tag, blocks[tag]) for tag in _SIZES if tag in blocks}
    watts = _watts(location, whole)
    users, rate = _within(config, "concurrency"), _within(config, "request_rate")
    models = _within(config, "model_names")
    model = str(models[0]) if isinstance(models, list) and models else None
    completed = sizes.get("request_count")
    tokens = sizes.get("total_osl") or sizes.get("total_output_tokens")
    return LabRun(
        location,
        TOOL,
        RunConditions(
            model=model,
            precision=told_precision(model or ""),
            isl=_plain(sizes.get("input_sequence_length")),
            osl=_plain(sizes.get("output_sequence_length")),
            users=None if users is None else count(location, "concurrency", users, 1, MOST_USERS),
        ),
        figures | ({} if watts is None else {"power_w_mean": watts}),
        Conduct(
            arrival=RATE if rate is not None and users is None else CLOSED,
            completed=None if completed is None else count(location, "request_count", completed),
            failed=count(location, "error_request_count", sizes.get("error_request_count", 0)),
            duration_s=sizes.get("benchmark_duration"),
            input_tokens=None if "total_isl" not in sizes else round(sizes["total_isl"]),
            output_tokens=None if tokens is None else round(tokens),
            expected_isl=_asked(location, config, "input_tokens", "isl"),
            expected_osl=_asked(location, config, "output_tokens", "osl"),
            requests=_sent(location, config),
            lengths_fixed=_one_length(blocks),
            power_scope=None if watts is None else "cards",
            date=words(location, "start_time", whole.get("start_time")),
            dates=tuple(filter(None, [words(location, "end_time", whole.get("end_time"))])),
            remarks=_remarks(whole),
            contradictions=tuple(_ends_before(whole, sizes.get("benchmark_duration"))),
            labels=tuple(str(label) for key in ("run_label", "variation_label") if (label := _within(whole, key))),
        ),
        dict(_spreads(location, blocks)),
    )


def _spreads(location: str, blocks: Blocks) -> Iterator[tuple[str, Reading]]:
    """The least, the greatest and the standard deviation of each latency."""
    for tag, row in NAMES.items():
        block = blocks.get(tag, {})
        for word in _ENDS if row.statistic else ():
            if block.get(word) is not None:
                times = factor(location, f"{tag}.unit", str(block["unit"]), UNIT_NAMES[row.unit])
                yield f"{row.quantity}_{word}", reading(location, f"{tag}.{word}", block[word], times)


def _asked(location: str, config: Mapping[str, Any], tokens: str, short: str) -> float | None:
    """Tokens that the configuration asks for: of a mapping with its mean, or a number."""
    asked = _within(config, tokens) or _within(config, short)
    mean = asked.get("mean") if isinstance(asked, dict) else asked
    return None if mean is None or isinstance(mean, list | dict) else reading(location, tokens, mean).value


def _sent(location: str, config: Mapping[str, Any]) -> int | None:
    asked = _within(config, "request_count")
    return None if asked is None else count(location, "request_count", asked)


def _ends_before(whole: Mapping[str, Any], seconds: float | None) -> Iterator[str]:
    """A benchmark that lasts longer than from its start to its end."""
    start, end = (seconds_of(str(whole.get(key) or "")) for key in ("start_time", "end_time"))
    there = end - start
    if there < 0.0:
        yield f"it ends at {whole['end_time']}, before it starts at {whole['start_time']}"
    elif seconds is not None and there < (1.0 - _CLOCKS) * seconds - 1.0:
        yield f"it lasts {seconds:,.4g} s, but ends {there:,.4g} s after it starts"


_ENDS = ("min", "max", "std")
_CLOCKS = 0.02
"""Part by which the time of a benchmark and those of its start and end may differ."""


def _figures(location: str, blocks: Blocks) -> Iterator[tuple[str, Reading]]:
    for tag, row in NAMES.items():
        block = blocks.get(tag, {})
        keys = {key: statistic(key) for key in block} if row.statistic else {"avg": ""}
        for key, part in keys.items():
            if part is not None and block.get(key) is not None:
                times = factor(location, f"{tag}.unit", str(block["unit"]), UNIT_NAMES[row.unit])
                name = f"{row.quantity}_{part}" if part else row.name
                yield name, reading(location, f"{tag}.{key}", block[key], times)


def _size(location: str, tag: str, block: Mapping[str, Any]) -> float:
    times = factor(location, f"{tag}.unit", str(block["unit"]), _SIZES[tag])
    return reading(location, f"{tag}.avg", block.get("avg"), times).value


def _one_length(blocks: Blocks) -> bool:
    """Whether the shortest and the longest prompt, and output, are the same."""
    ends = [
        (blocks[tag].get("min"), blocks[tag].get("max"))
        for tag in ("input_sequence_length", "output_sequence_length")
        if tag in blocks
    ]
    return len(ends) == 2 and all(low is not None and low == high for low, high in ends)


def _plain(size: float | None) -> float | None:
    return int(size) if size is not None and size == int(size) else size


def _within(config: Any, key: str) -> Any:
    """The first value of that key anywhere in a nested configuration, None where there is none."""
    if isinstance(config, dict):
        if config.get(key) is not None:
            return config[key]
        return next((found for part in config.values() if (found := _within(part, key)) is not None), None)
    return None


def _watts(location: str, whole: Mapping[str, Any]) -> Reading | None:
    """Mean watts of all GPUs of the telemetry together."""
    telemetry = mapping(location, "telemetry_data", whole.get("telemetry_data"))
    means = []
    for url, endpoint in mapping(location, "telemetry_data.endpoints", telemetry.get("endpoints")).items():
        for name, gpu in mapping(location, f"{url}.gpus", mapping(location, url, endpoint).get("gpus")).items():
            metrics = mapping(location, f"{name}.metrics", mapping(location, name, gpu).get("metrics"))
            block = mapping(location, f"{name}.metrics", next((metrics[key] for key in _POWER if key in metrics), None))
            if block:
                times = factor(location, f"{name}.unit", str(block.get("unit", "W")), UNIT_NAMES["W"])
                means.append(reading(location, f"{name}.avg", block.get("avg"), times))
    if not means:
        return None
    return Reading(*(sum(getattr(each, end) for each in means) for end in ("value", "low", "high")))


def _remarks(whole: Mapping[str, Any]) -> tuple[str, ...]:
    told = ["the run was cancelled"] if whole.get("was_cancelled") else []
    reasons = whole.get("runtime_submission_invalid_reasons") or []
    told += [f"submission is invalid: {reason}" for reason in (reasons if isinstance(reasons, list) else [reasons])]
    return tuple(told)


FORMATS = (
    Format("AIPerf JSON", JSON, lambda objects: any(is_export(found) for found in objects), runs),
    Format("AIPerf CSV", CSV, is_csv, csv_runs),
)
