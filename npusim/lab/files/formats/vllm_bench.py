"""`vllm bench serve --save-result`: JSON, one object a run (vllm/benchmarks/serve.py, 2026); older ones lack keys.

TPOT = (latency - TTFT) / (output tokens - 1) of each request; ITL is per streamed chunk, which holds several tokens
under speculative decoding. SGLang's `bench_serving` writes the same keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.limits import MOST_USERS
from npusim.lab.files import told_twice
from npusim.lab.files.files import count, no_negatives, reading, words
from npusim.lab.files.format import JSON, Format
from npusim.lab.files.formats.furiosa_perf import REQUESTS_PER_USER
from npusim.lab.files.lab_run import BURST, RATE, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import told_kv, told_precision
from npusim.lab.files.spread_names import spreads_in
from npusim.metric_names import figures_in
from npusim.metrics import VLLM
from npusim.units import MS_PER_S

TOOL = "vllm bench serve"
_REQUIRED = ("duration", "completed", "total_input_tokens", "total_output_tokens", "output_throughput")
_LENGTHS = ("input_lens", "output_lens")
_POINT = re.compile(r"(\d+)\.(\d+)\.(\d+)")
"""Folder of a point in furiosa-perf's tree: input and output tokens, users."""
_ROUNDING = 0.002
"""Part by which a mean may differ from that of its list, rounded as they are printed."""
_PRECISIONS = ("precision", "dtype", "quantization")


def is_result(found: Mapping[str, Any]) -> bool:
    """Whether an object is a result of the benchmark, whole or not."""
    return len({"mean_ttft_ms", "output_throughput", "total_output_tokens", "request_throughput"} & set(found)) >= 2


def runs(path: Path, objects: list[dict[str, Any]]) -> Iterator[LabRun]:
    """A run for every object. Raises UserError."""
    several = len(objects) > 1
    for number, found in enumerate(objects, start=1):
        location = f"{path}#{number}" if several else str(path)
        no_negatives(location, found)
        missing = [key for key in _REQUIRED if found.get(key) is None]
        if missing:
            raise UserError(location, missing[0], "the key is missing; give the result of a finished benchmark")
        yield _run(location, path, found)


def _run(location: str, path: Path, found: dict[str, Any]) -> LabRun:
    completed = count(location, "completed", found["completed"])
    tokens_in = count_tokens(location, found, "total_input_tokens")
    tokens_out = count_tokens(location, found, "total_output_tokens")
    figures = dict(_figures(location, found))
    users, version = found.get("max_concurrency"), _text(location, found, "version")
    told = RunConditions(
        model=_text(location, found, "model_id"),
        precision=_precision(location, found),
        kv_precision=told_kv(_text(location, found, "kv_cache_dtype") or _text(location, found, "kv_precision")),
        device=_text(location, found, "device") or _text(location, found, "chip"),
        cards=_whole(location, found, "cards") or _whole(location, found, "num_devices"),
        tensor_parallel=_whole(location, found, "tp") or _whole(location, found, "tensor_parallel_size"),
        runtime=version and f"{_text(location, found, 'backend') or 'vllm'} {version}",
        isl=_mean(tokens_in, completed),
        osl=_mean(tokens_out, completed),
        users=None if users is None else count(location, "max_concurrency", users, 1, MOST_USERS),
    )
    conduct = Conduct(
        arrival=BURST if str(found.get("request_rate", "inf")) in ("inf", "Infinity") else RATE,
        requests=_whole(location, found, "num_prompts"),
        completed=completed,
        failed=_whole(location, found, "failed"),
        duration_s=reading(location, "duration", found["duration"]).value,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        lengths_fixed=_fixed(location, found, tokens_in, tokens_out, completed),
        tokens_per_step=_tokens_per_step(location, found, figures),
        drafts_reported=found.get("spec_decode_acceptance_length") is not None,
        date=_text(location, found, "date"),
        dates=(path.name,),
        sdk=version,
        also_counted=tuple(_counts(found)),
        labels=tuple(filter(None, [_text(location, found, "label")])),
        contradictions=tuple(_lists(location, found)),
    )
    point = _POINT.fullmatch(path.parent.name)
    if point is not None:
        isl, osl, sent = (int(number) for number in point.groups())
        conduct = replace(conduct, expected_isl=isl, expected_osl=osl, protocol_requests=REQUESTS_PER_USER * sent)
        wrong = told_twice.differences(told, RunConditions(isl=isl, osl=osl, users=sent))
        conduct = replace(conduct, contradictions=(*conduct.contradictions, *wrong))
    return LabRun(location, TOOL, told, figures, conduct, dict(_spreads(location, found)))


def _spreads(location: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    for key, name, times in spreads_in(VLLM, found):
        if found[key] is not None:
            yield name, reading(location, key, found[key], times)


def _counts(found: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Requests by the lists beside the figures; lists hold all that were sent, or those that were served."""
    for key in (*_LENGTHS, "ttfts", "itls", "latencies"):
        held = found.get(key)
        served = [found.get(name) for name in ("completed", "num_prompts")]
        if isinstance(held, list) and held and len(held) not in served:
            yield key, len(held)


def _lists(location: str, found: Mapping[str, Any]) -> Iterator[str]:
    """Totals and means that the lists beside them do not give."""
    for key, total in zip(_LENGTHS, ("total_input_tokens", "total_output_tokens"), strict=True):
        held = found.get(key)
        if isinstance(held, list) and held:
            summed = sum(count(location, key, length) for length in held)
            if summed != count_tokens(location, found, total):
                yield f"{key} sum to {summed:,}, but {total} is {found[total]}"
    errors = found.get("errors")
    if isinstance(errors, list):
        failed = sum(1 for error in errors if error)
        if failed > (_whole(location, found, "failed") or 0):
            yield f"errors names {failed:,} failed requests, but failed is {found.get('failed') or 0}"
    firsts, mean = found.get("ttfts"), found.get("mean_ttft_ms")
    if isinstance(firsts, list) and firsts and mean is not None:
        summed_s = sum(reading(location, "ttfts", first).value for first in firsts)
        if abs(summed_s / len(firsts) * MS_PER_S - float(mean)) > _ROUNDING * float(mean):
            yield f"ttfts have a mean of {summed_s / len(firsts) * MS_PER_S:,.4g} ms, but mean_ttft_ms is {mean}"


def _mean(tokens: int, requests: int) -> float | None:
    """Tokens of a request, a whole number where they divide."""
    if not requests:
        return None
    return tokens // requests if tokens % requests == 0 else tokens / requests


def count_tokens(location: str, found: Mapping[str, Any], key: str) -> int:
    """A total of tokens. Raises UserError."""
    value = reading(location, key, found[key]).value
    if value != int(value):
        raise UserError(location, key, f"{found[key]} is no whole number of tokens")
    return int(value)


def _figures(location: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    for key, name, _ in figures_in(VLLM, found):
        if found[key] is not None:
            yield name, reading(location, key, found[key])


def _fixed(location: str, found: Mapping[str, Any], tokens_in: int, tokens_out: int, completed: int) -> bool:
    """Whether all requests had the same lengths: as the arrays say, else where the means are whole numbers."""
    if all(isinstance(found.get(key), list) and found[key] for key in _LENGTHS):
        return all(len({count(location, key, length) for length in found[key]}) == 1 for key in _LENGTHS)
    return completed > 0 and tokens_in % completed == 0 and tokens_out % completed == 0


def _tokens_per_step(location: str, found: Mapping[str, Any], figures: Mapping[str, Reading]) -> float:
    """Most tokens of a step: as speculative decoding reports, else chunk time over token time where that is more."""
    if found.get("spec_decode_acceptance_length") is not None:
        key = "spec_decode_acceptance_length"
        return max(1.0, reading(location, key, found[key]).high)
    chunk, token = figures.get("itl_ms_mean"), figures.get("tpot_ms_mean")
    if chunk is None or token is None or token.low <= 0.0:
        return 1.0
    return max(1.0, chunk.high / token.low)


def _precision(location: str, found: Mapping[str, Any]) -> str | None:
    told = [told_precision(text) for key in _PRECISIONS if (text := _text(location, found, key))]
    named = [scheme for scheme in told if scheme]
    return named[0] if named else told_precision(_text(location, found, "model_id") or "")


def _text(location: str, found: Mapping[str, Any], key: str) -> str | None:
    return words(location, key, found.get(key))


def _whole(location: str, found: Mapping[str, Any], key: str) -> int | None:
    return None if found.get(key) is None else count(location, key, found[key])


def _left_out(path: Path, _: Any) -> str | None:
    return "a twin of a result in another format" if path.name.endswith(".pytorch.json") else None


FORMATS = (
    Format("vllm bench serve JSON", JSON, lambda objects: any(is_result(each) for each in objects), runs, _left_out),
)
