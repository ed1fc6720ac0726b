"""AIPerf's `profile_export.jsonl`: one request a line, from which the figures of the run are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.lab.files.files import mapping, no_negatives, reading, words
from npusim.lab.files.format import JSON, Format
from npusim.lab.files.formats.aiperf import NAMES
from npusim.lab.files.lab_run import CLOSED, Conduct, LabRun, RunConditions
from npusim.lab.files.unit_names import TOKENS, factor
from npusim.metrics import UNIT_NAMES
from npusim.units import NS_PER_S

TOOL = "AIPerf requests"
_PERCENTILES = (50, 90, 95, 99)


def is_request(found: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one request of a run."""
    return isinstance(found.get("metadata"), dict) and "request_start_ns" in found["metadata"]


def runs(path: Path, objects: list[dict[str, Any]]) -> Iterator[LabRun]:
    """One run of all its requests but those of the warm-up. Raises UserError."""
    for line, each in enumerate(objects, start=1):
        no_negatives(f"{path}:{line}", each)
    measured = [
        (line, each) for line, each in enumerate(objects, start=1) if _phase(f"{path}:{line}", each) != "warmup"
    ]
    served = [(line, each) for line, each in measured if each.get("error") is None]
    if not served:
        raise UserError(str(path), "", "holds no request that succeeded; give the records of a finished run")
    timed = {tag: row.quantity for tag, row in NAMES.items() if row.statistic}
    columns = {name: _values(path, served, tag, UNIT_NAMES["ms"]) for tag, name in timed.items()}
    lengths = [_values(path, served, f"{end}_sequence_length", TOKENS) for end in ("input", "output")]
    starts, ends = (_times(path, served, key) for key in ("request_start_ns", "request_end_ns"))
    seconds = float((ends.max() - starts.min()) / NS_PER_S)
    if seconds <= 0.0:
        raise UserError(str(path), "request_end_ns", "no request ends after it starts; give the records as written")
    tokens = float(lengths[1].sum())
    figures = {
        f"{name}_{part}": value for name, values in columns.items() if len(values) for part, value in _spread(values)
    }
    figures["requests_per_s"] = Reading.exact(len(served) / seconds)
    if tokens:
        figures["output_tokens_per_s"] = Reading.exact(tokens / seconds)
    yield LabRun(
        str(path),
        TOOL,
        RunConditions(isl=_mean(lengths[0]), osl=_mean(lengths[1]), users=_most_at_once(starts, ends)),
        figures,
        Conduct(
            arrival=CLOSED,
            requests=len(measured),
            completed=len(served),
            failed=len(measured) - len(served),
            duration_s=seconds,
            output_tokens=round(tokens) or None,
            lengths_fixed=all(len(values) > 0 and len(set(values.tolist())) == 1 for values in lengths),
            warm_up=f"{len(objects) - len(measured)} requests of warm-up left out",
        ),
    )


def _phase(location: str, found: Mapping[str, Any]) -> str | None:
    if "metadata" not in found:
        raise UserError(location, "metadata", "the key is missing; the file is cut, or another was joined to it")
    return words(location, "benchmark_phase", mapping(location, "metadata", found["metadata"]).get("benchmark_phase"))


def _values(path: Path, served: list[tuple[int, dict[str, Any]]], tag: str, units: Mapping[str, float]) -> np.ndarray:
    """The values of a metric over all requests that have it; chunks of a request one after the other."""
    found: list[float] = []
    for line, each in served:
        location = f"{path}:{line}"
        block = mapping(location, tag, mapping(location, "metrics", each.get("metrics")).get(tag))
        if not block:
            continue
        times = factor(location, f"{tag}.unit", str(block.get("unit", "")), units)
        values = block.get("value")
        found += [
            reading(location, tag, value, times).value for value in (values if isinstance(values, list) else [values])
        ]
    return np.array(found)


def _times(path: Path, served: list[tuple[int, dict[str, Any]]], key: str) -> np.ndarray:
    return np.array([reading(f"{path}:{line}", key, each["metadata"].get(key)).value for line, each in served])


def _spread(values: np.ndarray) -> Iterator[tuple[str, Reading]]:
    yield "mean", Reading.exact(float(values.mean()))
    for part, value in zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True):
        yield f"p{part}", Reading.exact(float(value))


def _mean(values: np.ndarray) -> float | None:
    if not len(values):
        return None
    mean = float(values.mean())
    return int(mean) if mean == int(mean) else mean


def _most_at_once(starts: np.ndarray, ends: np.ndarray) -> int:
    """Most requests in flight at any time; one that ends as another starts makes room for it."""
    times = np.concatenate([ends, starts])
    steps = np.concatenate([np.full(len(ends), -1), np.ones(len(starts), int)])
    return int(np.cumsum(steps[np.argsort(times, kind="stable")]).max())


FORMATS = (Format("AIPerf JSONL", JSON, lambda objects: any(is_request(found) for found in objects), runs),)
