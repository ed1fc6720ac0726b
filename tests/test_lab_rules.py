"""Figures of a run against each other: no measured row contradicts itself, and a false figure is named by its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from npusim.bounds.reading import Reading
from npusim.lab.files.lab_run import BURST, Conduct, LabRun, RunConditions
from npusim.lab.files.power_log import PowerLog
from npusim.lab.files.table_runs import is_of_runs, table_runs
from npusim.lab.rules.lint import remarks_on
from npusim.lab.rules.remark import DOUBT, FAULT, NOTE
from npusim.lab.rules.together import remarks_together

DATA = Path(__file__).parent.parent / "validation" / "data"
TABLES = [path for path in sorted(DATA.rglob("*.csv")) if is_of_runs(path.read_text().split("\n", 1)[0].split(","))]
SHORT = "short run"
"""The engine's runs on H200 lasted seconds, and say so."""


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_no_measured_run_contradicts_itself(path: Path) -> None:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for _, run in table_runs(path, frame):
        found = [each for each in remarks_on(run) if each.severity != NOTE and each.rule != SHORT]
        assert found == [], run.location


def test_tables_of_runs_are_found() -> None:
    names = {path.stem for path in TABLES}
    assert {"serving", "vllm_speculative", "vllm_long_prompts", "rtx_serving"} <= names


SOUND = {
    "ttft_ms_mean": "830.1",
    "ttft_ms_p50": "830.4",
    "ttft_ms_p99": "1618.6",
    "tpot_ms_mean": "23.352",
    "tpot_ms_p50": "23.35",
    "tpot_ms_p99": "23.51",
    "itl_ms_mean": "23.352",
    "e2e_ms_mean": "24719.2",
    "e2e_ms_p50": "24718.9",
    "e2e_ms_p99": "24903.3",
    "output_tokens_per_s": "662.32",
    "total_tokens_per_s": "1324.64",
    "requests_per_s": "0.6468",
    "tokens_per_s_per_user": "42.82",
    "power_w_mean": "138.07",
    "tokens_per_joule": "4.797",
}
SETTING = RunConditions(device="rngd", cards=1, isl=1024, osl=1024, users=16)
CONDUCT = Conduct(
    arrival=BURST,
    requests=48,
    completed=48,
    failed=0,
    duration_s=74.212,
    input_tokens=49152,
    output_tokens=49152,
    lengths_fixed=True,
    power_scope="cards",
    date="2026-10-14",
)
ASIDE = {"ttft_ms_std": "401.2", "ttft_ms_max": "1700", "e2e_ms_max": "24950", "energy_j": "10246"}


def _run(figures: dict[str, Any] | None = None, conduct: Conduct = CONDUCT, **told: Any) -> LabRun:
    printed = {name: Reading.printed(text) for name, text in (SOUND | (figures or {})).items()}
    aside = {name: Reading.printed(text) for name, text in ASIDE.items()}
    return LabRun("made", "test", replace(SETTING, **told), printed, conduct, aside)


def _named(run: LabRun, severity: str = FAULT) -> set[str]:
    return {each.rule for each in remarks_on(run) if each.severity == severity}


def test_a_sound_run_is_remarked_on_by_no_rule() -> None:
    assert _named(_run()) == _named(_run(), DOUBT) == set()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ttft_ms_mean": "23.352", "tpot_ms_mean": "830.1"}, "latencies add up"),
        ({"ttft_ms_mean": "0.8301"}, "mean within percentiles"),
        ({"e2e_ms_mean": "20000.0"}, "latencies add up"),
        ({"ttft_ms_p50": "1618.6", "ttft_ms_p99": "830.4"}, "percentiles rise"),
        ({"ttft_ms_p50": "830.4", "ttft_ms_p99": "830.4"}, "percentiles all alike"),
        ({"ttft_ms_mean": "1800.1"}, "mean within percentiles"),
        ({"ttft_ms_p50": "300.4"}, "spread"),
        ({"ttft_ms_p99": "1900"}, "percentiles rise"),
        ({"tpot_ms_p99": "25.51"}, "latencies add up"),
        ({"itl_ms_mean": "18.352"}, "chunks and tokens"),
        ({"tokens_per_s_per_user": "55.7"}, "speed of a user"),
        ({"output_tokens_per_s": "861.02"}, "rates agree"),
        ({"output_tokens_per_s": "1324.64"}, "rates agree"),
        ({"total_tokens_per_s": "662.32"}, "rates agree"),
        ({"requests_per_s": "0.84"}, "rates agree"),
        ({"tokens_per_joule": "6.2"}, "rates agree"),
        ({"power_w_mean": "276.14"}, "energy"),
    ],
)
def test_a_false_figure_is_named(change: dict[str, str], rule: str) -> None:
    assert rule in _named(_run(change))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"duration_s": 37.1}, "rates agree"),
        ({"completed": 40}, "rates agree"),
        ({"requests": 40}, "failed requests"),
        ({"output_tokens": 30000}, "rates agree"),
        ({"duration_s": 20.0}, "duration"),
        ({"also_counted": (("latencies", 51),)}, "failed requests"),
        ({"date": "2031-10-14"}, "date"),
        ({"date": "20311014-110214"}, "date"),
        ({"date": "2025-01-02", "sdk": "furiosa-llm 2026.3.0"}, "date"),
        ({"contradictions": ("cards: 1 in the file, 4 in the name",)}, "contradicts itself"),
    ],
)
def test_a_false_count_is_named(change: dict[str, Any], rule: str) -> None:
    assert rule in _named(_run(conduct=replace(CONDUCT, **change)))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"completed": 45, "failed": 3, "requests": 48}, "failed requests"),
        ({"protocol_requests": 60}, "failed requests"),
        ({"expected_osl": 2048}, "output length"),
        ({"dates": ("2026-09-01 10:00:00",)}, "date"),
        ({"labels": ("best of 5",)}, "best of several"),
    ],
)
def test_a_run_that_was_not_measured_as_it_should_be_is_doubted(change: dict[str, Any], rule: str) -> None:
    assert rule in _named(_run(conduct=replace(CONDUCT, **change)), DOUBT)


@pytest.mark.parametrize("users", [8, 24, 32])
def test_users_that_were_not_there_are_named(users: int) -> None:
    run = _run(users=users)
    found = _named(run)
    above = users < SETTING.users  # type: ignore[operator]
    assert ("Little's law" in found) != above  # more in flight than users is a bound of its own


def test_a_slip_that_fits_is_named_and_no_other() -> None:
    found = remarks_on(_run({"total_tokens_per_s": "662.32"}))
    said = next(each.message for each in found if each.rule == "rates agree")
    assert "prompts were left out" in said or "prompts were counted" in said
    messages = [each.message for each in remarks_on(_run({"requests_per_s": "0.84"})) if each.severity == FAULT]
    assert messages and not any("it fits if" in each for each in messages)


def _logged(watts: np.ndarray, cards: np.ndarray | None = None, start: str = "2026-10-14 11:02") -> LabRun:
    times = tuple(f"{start}:{second:02d}" for second in range(len(watts)))
    log = PowerLog(watts, times, cards)
    return replace(_run(), conduct=replace(CONDUCT, log=log, duration_s=None, power_samples=len(watts)))


NOISE = np.round(146.0 + np.random.default_rng(1).normal(size=60), 2)


def test_a_log_of_sensors_at_work_is_not_remarked_on() -> None:
    assert _named(_logged(NOISE)) == _named(_logged(NOISE), DOUBT) == set()
    assert _named(_logged(np.tile([0.0, 0.0, 140.0, 141.0, 142.0], 12))) == set()


@pytest.mark.parametrize(
    ("log", "severity"),
    [
        (_logged(np.full(60, 146.0)), FAULT),
        (_logged(2.0 * NOISE, np.stack([NOISE, NOISE], axis=1)), FAULT),
        (_logged(np.concatenate([NOISE[:30], NOISE[:30]])), DOUBT),
    ],
)
def test_a_log_that_no_sensor_writes_is_named(log: LabRun, severity: str) -> None:
    assert "power log" in _named(log, severity)


def test_a_log_of_other_times_is_named() -> None:
    run = _logged(NOISE)
    log = run.conduct.log
    assert log is not None
    back = replace(run.conduct, log=PowerLog(NOISE, log.times[::-1]))
    assert "power log" in _named(replace(run, conduct=back))
    short = replace(run.conduct, duration_s=600.0)
    assert "power log" in _named(replace(run, conduct=short), DOUBT)


def _sweep(*rates: tuple[int, float, float]) -> list[LabRun]:
    """Runs of users, tokens/s and ms a token."""
    return [
        replace(
            _run(users=users),
            location=f"row {users}",
            figures={
                "output_tokens_per_s": Reading.printed(f"{rate:.2f}"),
                "tpot_ms_mean": Reading.printed(f"{token:.3f}"),
            },
        )
        for users, rate, token in rates
    ]


RISING = ((1, 54.1, 18.39), (2, 104.0, 18.94), (8, 346.2, 19.44), (32, 1224.5, 23.3))


def _pairs(runs: list[LabRun]) -> dict[str, set[int]]:
    """Places of the runs that are remarked on, by severity."""
    found: dict[str, set[int]] = {FAULT: set(), DOUBT: set()}
    for place, remarks in remarks_together(runs).items():
        for each in remarks:
            found.setdefault(each.severity, set()).add(place)
    return found


def test_a_sweep_that_rises_is_not_remarked_on() -> None:
    assert _pairs(_sweep(*RISING)) == {FAULT: set(), DOUBT: set()}


@pytest.mark.parametrize(
    ("place", "row", "severity"),
    [
        (2, (8, 2.0 * 346.2, 19.44), FAULT),
        (2, (8, 1.7 * 346.2, 19.44), DOUBT),
        (3, (32, 1224.5, 9.0), FAULT),
        (1, (2, 104.0, 29.0), DOUBT),
    ],
)
def test_a_row_out_of_order_is_named(place: int, row: tuple[int, float, float], severity: str) -> None:
    rows = list(RISING)
    rows[place] = row
    found = _pairs(_sweep(*rows))
    assert place in found[severity]
    assert len(found[FAULT]) <= 2


def test_copied_rows_are_named() -> None:
    base = _run()
    changed = replace(_run(users=32), location="copy")
    assert _pairs([base, changed])[FAULT] == {0, 1}
    assert _pairs([base, replace(base, location="again")]) == {FAULT: set(), DOUBT: {1}}
    factor = {name: f"{1.3 * float(text):.4f}" for name, text in SOUND.items() if "_ms_" in name}
    assert 1 in _pairs([base, replace(_run(factor, users=24), location="scaled")])[FAULT]
    assert _pairs([base, replace(_run({"ttft_ms_mean": "812.2"}), location="x", tool="x")]) == {
        FAULT: set(),
        DOUBT: set(),
    }


def test_two_files_of_one_run_agree() -> None:
    summary = replace(_run(), location="t/summary_1024_1024.csv:11", tool="furiosa-perf")
    detail = replace(_run(), location="t/1024.1024.16/vllm-1.json", tool="vllm bench serve")
    assert _pairs([summary, detail]) == {FAULT: set(), DOUBT: set()}
    wrong = replace(detail, figures=_run({"tpot_ms_mean": "21.1"}).figures)
    assert _pairs([summary, wrong])[FAULT] == {0, 1}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_no_measured_runs_contradict_each_other(path: Path) -> None:
    """One rate of serving.csv is doubted, which its own source contradicts: one user got less than each of two."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = _pairs([run for _, run in table_runs(path, frame)])
    assert found[FAULT] == set()
    assert len(found[DOUBT]) == (2 if (path.parent.name, path.stem) == ("rngd", "serving") else 0)
