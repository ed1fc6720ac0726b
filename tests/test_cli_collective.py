"""`npusim collective` as its users see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import mistake, process, tell

ASK = ("collective", "h200", "--op", "all_reduce", "--bytes", "8MiB", "--ranks", "8")


def test_the_answer_as_json(tmp_path: Path) -> None:
    done = process(*ASK, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"algorithm"' in done.stdout
    answer = tell(*ASK, "--json").json
    assert answer["bytes"] == 8 * 2**20
    assert answer["candidates"][0]["algorithm"] == answer["algorithm"]
    assert answer["runner_up"]["time_us"] >= answer["time_us"]
    assert answer["busbw_bytes_per_s"] == pytest.approx(answer["bytes"] / answer["time_us"] * 1e6 * 2 * 7 / 8)
    assert answer["bytes_per_rank"] == pytest.approx(answer["bytes"] * 2 * 7 / 8)
    assert answer["bound"] == "bandwidth"
    assert answer["manifest"]


def test_small_messages_are_bound_by_latency() -> None:
    answer = tell("collective", "rngd", "--op", "all_reduce", "--bytes", "8192", "--ranks", "4", "--json").json
    assert answer["bound"] == "latency"


def test_an_algorithm_can_be_chosen_and_is_no_faster() -> None:
    chosen = tell(*ASK, "--algorithm", "in_network", "--json").json
    assert chosen["algorithm"] == "in_network"
    assert chosen["time_us"] >= tell(*ASK, "--json").json["time_us"]


def test_intervals_hold_the_value() -> None:
    time_us = tell(*ASK, "--interval", "--json").json["time_us"]
    assert time_us["low"] < time_us["value"] < time_us["high"]


@pytest.mark.parametrize(("pes", "low", "high"), [(2, 2.0, 3.7), (4, 10.5, 13.5), (8, 50.0, 65.0)])
def test_the_engines_of_a_chip_reduce_as_measured(pes: int, low: float, high: float) -> None:
    """swsok/heteropilot experiments/results/rngd_collective_measured.md."""
    words = ("collective", "rngd", "--op", "all_reduce", "--bytes", "8192", "--ranks", str(pes), "--within", "chip")
    assert low * 0.75 <= tell(*words, "--json").json["time_us"] <= high * 1.25


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*ASK[:-1], "9"), "9 chips, but h200 joins 8; give 2 to 8"),
        ((*ASK[:-1], "1"), "1 chips, but h200 joins 8"),
        ((*ASK, "--groups", "2"), "2 groups of 8, but 8 chips hold 1"),
        ((*ASK, "--library", "mpi"), "'mpi' is no library of h200; it has nccl, peer-kernels"),
        ((*ASK, "--algorithm", "double_tree"), "nothing carries out all_reduce over 8 chips of h200 as asked"),
        ((*ASK[:5], "8 parsecs", *ASK[6:]), "give e.g. 8192 or 8MiB"),
        ((*ASK[:3], "sum", *ASK[4:]), "no collective 'sum'; use one of all_reduce"),
        ((*ASK, "--within", "chip"), "h200 has no PEs that reduce among themselves"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], message: str) -> None:
    assert message in mistake(*words)


def test_text_names_the_algorithm() -> None:
    told = tell(*ASK)
    assert told.code == 0
    assert "by ring (bulk), bound by bandwidth on NVLink 4" in told.out


def test_an_algorithm_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    assert "no algorithm 'root'; use one of ring, direct" in mistake(*ASK, "--algorithm", "root")
    board = tmp_path / "board.yaml"
    shipped = Path(__file__).parent.parent / "arch_configs" / "h200.yaml"
    text = shipped.read_text(encoding="utf-8")
    board.write_text(text.replace("algorithms: [ring]", "algorithms: [root]", 1), encoding="utf-8")
    told = mistake("collective", board, *ASK[2:], "--uncalibrated")
    assert "server.fabric.transports.0.algorithms.0" in told
