"""`npusim list`: what is shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from npusim import api
from npusim.api.catalog import ListOptions
from npusim.cli.fitted_table import NOTHING
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.units import readable


@command(ListOptions, "list")
def list_shipped(asked: ListOptions, as_json: bool) -> None:
    """List what is shipped of a kind: architectures, models, event-driven units, rules and so on."""
    found = api.list_shipped.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    headings, rows = _TABLES[asked.what](found.items)
    stdout_console().print(table(headings, rows, text_columns=2))


_Table = tuple[Sequence[str], list[list[str]]]


def _architectures(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = (
        "name", "what", "silicon", "bf16 [TFLOPS]", "8 bits [TOPS]", "memory [GiB]", "bandwidth [GB/s]", "TDP [W]",
        "runtime", "calibrated",
    )  # fmt: skip
    rows = [
        [
            item["name"],
            item["title"],
            "yes" if item["silicon"] else "no: projection",
            figure(item["peak_ops_per_s"]["bf16"] / 1e12, 0),
            figure(_eight_bits(item["peak_ops_per_s"]), 0),
            figure(item["memory_capacity_bytes"] / 2**30, 1),
            figure(item["memory_bandwidth_bytes_per_s"] / 1e9, 0),
            figure(item["tdp_w"], 0),
            item["runtime"],
            item["calibration"]["date"] if item["calibrated"] else "no",
        ]
        for item in items
    ]
    return headings, rows


def _eight_bits(peaks: dict[str, float]) -> float | None:
    fastest = max((peaks.get(name, 0.0) for name in ("fp8", "int8")), default=0.0)
    return fastest / 1e12 if fastest else None


def _models(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = (
        "name",
        "what",
        "parameters [billions]",
        "layers",
        "query heads",
        "KV heads",
        "longest context [tokens]",
    )
    keys = ("layers", "heads", "kv_heads", "max_context")
    rows = [
        [item["name"], item["title"], figure(item["parameters"] / 1e9), *(figure(item[key], 0) for key in keys)]
        for item in items
    ]
    return headings, rows


def _runtimes(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "drives", "policy", "decode batch", "prefill chunk", "KV", "prefix caching")
    keys = ("name", "title", "unit", "policy", "decode_batch", "prefill_chunk", "kv_precision")
    return headings, [[*(item[key] for key in keys), "yes" if item["prefix_caching"] else "no"] for item in items]


def _memories(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "peak [GB/s]", "clock [ns]", "access [B]", "row [B]", "ranks", "groups x banks")
    rows = [
        [
            item["name"],
            item["title"],
            figure(item["peak_bytes_per_s"] / 1e9),
            figure(item["clock_ns"], 3),
            figure(item["access_bytes"], 0),
            figure(item["row_bytes"], 0),
            str(item["ranks"]),
            f"{item['bank_groups']} x {item['banks_per_group']}",
        ]
        for item in items
    ]
    return headings, rows


def _pims(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "silicon", "memory", "units", "external [GB/s]", "all banks [GB/s]", "types", "maps")
    rows = [
        [
            item["name"],
            item["title"],
            "yes" if item["silicon"] else "no",
            item["memory"],
            f"{item['channels']} x {item['units_per_channel']}",
            figure(item["external_bytes_per_s"] / 1e9, 0),
            figure(item["all_bank_bytes_per_s"] / 1e9, 0),
            ", ".join(item["types"]),
            ", ".join(item["operations"]),
        ]
        for item in items
    ]
    return headings, rows


def _grids(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "cells", "requests per user", "arrival", "source")
    rows = [
        [
            item["name"],
            item["title"],
            str(item["cells"]),
            str(item["requests_per_user"]),
            item["arrival"],
            item["source"],
        ]
        for item in items
    ]
    return headings, rows


def _loads(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "sessions", "turns", "sessions/s", "prompt", "answer", "assumed numbers")
    rows = [
        [
            item["name"],
            item["title"],
            figure(item["sessions"], 0),
            item["turns"],
            figure(item["sessions_per_s"], 3),
            item["prompt"],
            item["answer"],
            figure(item["assumed"], 0),
        ]
        for item in items
    ]
    return headings, rows


def _profiles(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "users wait", "kinds of requests", "longest request [tokens]")
    rows = [
        [
            item["name"],
            item["title"],
            "yes" if item["interactive"] else "no",
            ", ".join(item["requests"]),
            figure(item["longest"], 0),
        ]
        for item in items
    ]
    return headings, rows


def _event_units(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "silicon", "cores", "neurons per core", "synapses", "peak", "limit [W]", "not told")
    rows = [
        [
            item["name"],
            item["title"],
            "yes" if item["silicon"] else "no: projection",
            figure(item["cores"], 0),
            figure(item["neurons_per_core"], 0),
            figure(item["synapses"], 0),
            NOTHING if item["peak_synaptic_ops_per_s"] is None else readable(item["peak_synaptic_ops_per_s"], "op/s"),
            figure(item["power_limit_w"]),
            ", ".join(name.replace("_", " ") for name in item["untold"]),
        ]
        for item in items
    ]
    return headings, rows


def _rules(items: Sequence[Mapping[str, Any]]) -> _Table:
    headings = ("name", "what", "read by", "numbers", "assumed numbers", "source")
    rows = [
        [
            item["name"],
            item["title"],
            item["read_by"],
            figure(item["numbers"], 0),
            figure(item["assumed"], 0),
            item["source"],
        ]
        for item in items
    ]
    return headings, rows


_TABLES = {
    "archs": _architectures,
    "models": _models,
    "runtimes": _runtimes,
    "memories": _memories,
    "pims": _pims,
    "grids": _grids,
    "loads": _loads,
    "profiles": _profiles,
    "neuromorphic": _event_units,
    "rules": _rules,
}
