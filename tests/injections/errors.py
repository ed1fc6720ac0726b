"""Errors that a sceptical reader would put into a sound table: each changes rows, all of them or the second one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sound_rows import Row

TARGET = 1
"""The row that an error is put into; the others stay sound."""


@dataclass(frozen=True)
class Error:
    """name: in words; change: of all rows; needs: figures that the target must hold; formats: the only ones that can
    hold it, () for all."""

    name: str
    change: Callable[[list[Row]], list[Row]]
    needs: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()


def _one(change: Callable[[Row], dict[str, Any]]) -> Callable[[list[Row]], list[Row]]:
    """A change of the target alone."""

    def of(rows: list[Row]) -> list[Row]:
        return [row | change(row) if place == TARGET else row for place, row in enumerate(rows)]

    return of


def _every(change: Callable[[Row], dict[str, Any]]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [row | change(row) for row in rows]


def _times(factor: float, *names: str) -> Callable[[Row], dict[str, Any]]:
    """The figures whose names begin so, times a factor, with their digits."""

    def of(row: Row) -> dict[str, Any]:
        named = {name: value for name, value in row.items() if name.startswith(names)}
        return {name: float(f"{float(value) * factor:.6g}") for name, value in named.items()}

    return of


def _set(**values: Any) -> Callable[[Row], dict[str, Any]]:
    return lambda row: values


def _swapped(one: str, other: str) -> Callable[[Row], dict[str, Any]]:
    """Two figures, or two families of them, in each other's place."""

    def of(row: Row) -> dict[str, Any]:
        pairs = {name: name.replace(one, other) for name in row if one in name}
        return {a: row[b] for a, b in pairs.items() if b in row} | {b: row[a] for a, b in pairs.items() if b in row}

    return of


def _joined(*changes: Callable[[Row], dict[str, Any]]) -> Callable[[Row], dict[str, Any]]:
    def of(row: Row) -> dict[str, Any]:
        for change in changes:
            row = row | change(row)
        return row

    return of


def _alike(part: str) -> Callable[[Row], dict[str, Any]]:
    return lambda row: {name: row[f"{part}_mean"] for name in row if name.startswith(part)}


def _from_others(rows: list[Row], **values: Any) -> list[Row]:
    """A further row with the target's figures."""
    return [*rows, rows[TARGET] | values]


def scaled(factor: float) -> Callable[[Row], dict[str, Any]]:
    """A run that was so many times as fast in everything."""
    return _joined(
        _times(
            factor, "output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "tokens_per_joule", "tokens_per_s"
        ),
        _times(1.0 / factor, "ttft", "tpot", "itl", "e2e", "duration_s"),
    )


def _cut(row: Row) -> dict[str, Any]:
    return {"completed": round(float(row["requests"]) * 0.9)}


LOGS, LISTS = ("furiosa-perf",), ("vLLM",)
COUNTS = ("vLLM", "AIPerf JSON", "AIPerf CSV", "measured table")
MEDIANS = ("furiosa-perf", *COUNTS, "workbook")
_LATENCIES = ("ttft", "tpot", "itl", "e2e")

ERRORS: tuple[Error, ...] = (
    Error("throughput x 1.3", _one(_times(1.3, "output_tokens_per_s"))),
    Error("throughput x 2", _one(_times(2.0, "output_tokens_per_s"))),
    Error("throughput x 0.7", _one(_times(0.7, "output_tokens_per_s"))),
    Error("both throughputs x 1.3", _one(_times(1.3, "output_tokens_per_s", "total_tokens_per_s"))),
    Error("all rates x 1.3", _one(_times(1.3, "output_tokens_per_s", "total_tokens_per_s", "requests_per_s"))),
    Error("total throughput x 1.3", _one(_times(1.3, "total_tokens_per_s")), ("total_tokens_per_s",)),
    Error("prompts counted as output", _one(lambda row: {"output_tokens_per_s": row["total_tokens_per_s"]})),
    Error("requests/s x 1.3", _one(_times(1.3, "requests_per_s")), ("requests_per_s",)),
    Error("throughput per minute", _one(_times(60.0, "output_tokens_per_s"))),
    Error("throughput in thousands", _one(_times(1e-3, "output_tokens_per_s"))),
    Error("TTFT swapped with TPOT", _one(_swapped("ttft", "tpot"))),
    Error("mean TTFT / 10", _one(_times(0.1, "ttft_ms_mean"))),
    Error("mean TTFT x 3", _one(_times(3.0, "ttft_ms_mean"))),
    Error("all TTFT / 3", _one(_times(1.0 / 3.0, "ttft"))),
    Error("TTFT in s as ms", _one(_times(1e-3, "ttft"))),
    Error("TTFT in us as ms", _one(_times(1e3, "ttft"))),
    Error("E2E in s as ms", _one(_times(1e-3, "e2e")), ("e2e_ms_mean",)),
    Error("TPOT in s as ms", _one(_times(1e-3, "tpot"))),
    Error("TPOT in us as ms", _one(_times(1e3, "tpot"))),
    Error("all TPOT / 1.3", _one(_times(1.0 / 1.3, "tpot"))),
    Error("mean TPOT / 1.3", _one(_times(1.0 / 1.3, "tpot_ms_mean"))),
    Error("ITL / 1.5", _one(_times(1.0 / 1.5, "itl")), ("itl_ms_mean",)),
    Error("E2E / 1.3", _one(_times(1.0 / 1.3, "e2e")), ("e2e_ms_mean",)),
    Error("E2E x 1.3", _one(_times(1.3, "e2e")), ("e2e_ms_mean",)),
    Error("TTFT p50 and p99 swapped", _one(_swapped("ttft_ms_p50", "ttft_ms_p99")), ("ttft_ms_p50",), MEDIANS),
    Error("TPOT p50 and p99 swapped", _one(_swapped("tpot_ms_p50", "tpot_ms_p99")), ("tpot_ms_p50",), MEDIANS),
    Error("TTFT mean and p99 swapped", _one(_swapped("ttft_ms_mean", "ttft_ms_p99")), ("ttft_ms_p99",)),
    Error("TTFT percentiles all alike", _one(_alike("ttft_ms")), ("ttft_ms_p50", "ttft_ms_p99")),
    Error("TTFT p99 below the mean", _one(lambda row: {"ttft_ms_p99": round(0.6 * float(row["ttft_ms_mean"]), 3)})),
    Error("users doubled", _one(lambda row: {"users": 2.0 * float(row["users"])}), ("users",)),
    Error("users halved", _one(lambda row: {"users": float(row["users"]) / 2.0}), ("users",)),
    Error("prompt length halved", _one(_times(0.5, "isl")), ("isl",)),
    Error("output length doubled", _one(_times(2.0, "osl")), ("osl",)),
    Error("duration halved", _one(_times(0.5, "duration_s")), ("duration_s",), COUNTS),
    Error("duration doubled", _one(_times(2.0, "duration_s")), ("duration_s",), COUNTS),
    Error("completed requests cut", _one(_cut), (), COUNTS[:3]),
    Error("sent and completed cut", _one(lambda row: _cut(row) | {"requests": _cut(row)["completed"]}), (), COUNTS),
    Error("more completed than sent", _one(lambda row: {"completed": float(row["requests"]) + 5.0}), (), COUNTS[:3]),
    Error("failures kept silent", _one(_set(lists=48, erased=5)), (), LISTS),
    Error("lists cut", _one(_set(lists=40, erased=0)), (), LISTS),
    Error("outputs shorter than asked", _one(lambda row: {"tokens_osl": 0.5 * _all(row)}), (), ("vLLM", *COUNTS[1:3])),
    Error("date in 2031", _every(_set(date="2031-11-10"))),
    Error("ends before it began", _one(_set(wall_s=1.0)), (), ("AIPerf JSON",)),
    Error("watts of four cards", _one(_times(4.0, "power_w_mean")), ("power_w_mean",)),
    Error("watts of a quarter of the card", _one(_times(0.25, "power_w_mean")), ("power_w_mean",)),
    Error("watts in kW", _one(_times(1e-3, "power_w_mean")), ("power_w_mean",)),
    Error("tokens/J x 1.5", _one(_times(1.5, "tokens_per_joule")), ("tokens_per_joule",)),
    Error("speed per user x 1.3", _one(_times(1.3, "tokens_per_s_per_user")), ("tokens_per_s_per_user",)),
    Error("row copied to other users", lambda rows: _from_others(rows, users=2.0 * float(rows[TARGET]["users"]))),
    Error("row copied once more", lambda rows: _from_others(rows)),
    Error("latencies of a row times 1.3", _one(_times(1.3, *_LATENCIES))),
    Error("row x 2 in everything", _one(scaled(2.0))),
    Error("row x 1.3 in everything", _one(scaled(1.3))),
    Error("figures of a smaller model", _every(_set(model="meta-llama/Llama-3.3-70B-Instruct"))),
    Error("cards: folder and file differ", _every(_set(told_cards=4.0)), (), LOGS),
    Error("model: folder and file differ", _every(_set(folder_model="Llama-3.3-70B-Instruct")), (), LOGS),
    Error("log that never moves", _one(_set(log=80, log_still=1)), ("power_w_mean",), LOGS),
    Error("log of another day", _one(_set(log=80, log_date="2026-08-01")), ("power_w_mean",), LOGS),
    Error("log of other watts", _one(lambda row: {"log": 80, "log_w": 0.6 * float(row["power_w_mean"])}), (), LOGS),
    Error("best of five", _every(_set(label="best of 5")), (), ("vLLM", "AIPerf JSON", "measured table", "workbook")),
    Error("result not valid", _every(_set(validity="INVALID")), (), ("LoadGen",)),
)


def _all(row: Row) -> float:
    return float(row["requests"]) * float(row["osl"])


def fitting(name: str, rows: Sequence[Row]) -> list[Error]:
    """The errors that can be put into the rows of a format."""
    fit = (error for error in ERRORS if not error.formats or name in error.formats)
    return [error for error in fit if all(need in rows[TARGET] for need in error.needs)]
