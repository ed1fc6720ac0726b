"""The DRAM kernel beside Ramulator 2.1's table, and the command that runs it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from cli_support import mistake, tell

from npusim.evidence.validation.validate import validate_table

TABLE = Path(__file__).resolve().parent.parent / "validation" / "data" / "reference" / "dram.csv"
ROWS = 60
SEED = 20


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded part of the table, the rows with two streams of writes left to the whole table."""
    frame = pd.read_csv(TABLE, dtype=str, keep_default_na=False)
    path = tmp_path_factory.mktemp("reference") / "dram.csv"
    frame[frame["write_mode"] != "stream"].sample(ROWS, random_state=SEED).to_csv(path, index=False)
    return path


def test_a_sample_of_the_reference_table(sample: Path) -> None:
    result = validate_table(sample)
    assert (result.rows, len(result.skipped)) == (ROWS, 0)
    assert result.main_metric == "frac_of_peak"
    by = result.by()
    assert by["metric"]["frac_of_peak"].mape < 0.01
    assert by["metric"]["frac_of_peak"].max < 0.06
    assert by["metric"]["avg_read_latency_ns"].mape < 0.01
    assert by["metric"]["row_hit_rate"].mape < 0.02
    assert {"standard", "pattern", "mapping", "refresh"} <= set(by)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("refresh", "pb", "per-bank refresh: while one bank waits"),
        ("scheduler", "FCFS", "scheduler 'FCFS': only FRFCFSRowHit"),
        ("read_buf", "32", "32 and 64 places for requests"),
        ("standard", "DDR3-1600", "unknown DRAM standard"),
        ("mapping", "random", "'random' is not known"),
        ("pattern", "zigzag", "pattern 'zigzag' is none of"),
    ],
)
def test_a_row_that_cannot_be_represented_says_why(
    sample: Path, tmp_path: Path, column: str, value: str, reason: str
) -> None:
    frame = pd.read_csv(sample, dtype=str, keep_default_na=False).head(2)
    frame.loc[0, column] = value
    path = tmp_path / "dram.csv"
    frame.to_csv(path, index=False)
    result = validate_table(path)
    assert result.rows == 1
    assert [skip.row for skip in result.skipped] == [0]
    assert reason in result.skipped[0].reason


@pytest.mark.parametrize("standard", ["HBM3-6400-ch2pc", "HBM3e-9600-derived-ch2pc", "HBM4-ch2pc"])
def test_any_standard_with_pseudo_channels_may_share_its_command_buses(
    sample: Path, tmp_path: Path, standard: str
) -> None:
    frame = pd.read_csv(sample, dtype=str, keep_default_na=False).head(1)
    frame.loc[0, ["standard", "pattern", "refresh", "write_frac"]] = [standard, "seq", "off", "0"]
    path = tmp_path / "dram.csv"
    frame.to_csv(path, index=False)
    result = validate_table(path)
    assert (result.rows, result.skipped) == (1, ())


def test_a_stream_of_writes_alone_has_no_read_latency() -> None:
    told = tell("dram", "hbm3", "--write-fraction", "1", "--requests", "2000")
    assert "A read takes" not in told.out
    assert tell("dram", "hbm3", "--write-fraction", "1", "--requests", "2000", "--json").json["latency_ns"] is None


def test_the_command_tells_rate_latency_and_bound() -> None:
    answer = tell(
        "dram", "HBM3", "--pattern", "random", "--block", "64", "--refresh", "off", "--requests", "2000", "--json"
    )
    told = answer.json
    assert told["peak_bytes_per_s"] == pytest.approx(25.6e9)
    assert told["achieved_bytes_per_s"] == pytest.approx(told["fraction_of_peak"] * told["peak_bytes_per_s"])
    assert told["bound"] == "tFAW"
    assert told["fraction_of_peak"] == pytest.approx(1 / 3, rel=0.01)
    assert told["latency_ns"] > 50.0
    assert 0.0 <= told["row_hit_rate"] < 0.01
    assert [item["file"] for item in told["manifest"]["configs"]] == ["hbm3-6400.yaml"]
    assert any(item["path"] == "timing.tFAW" and item["kind"] == "assumed" for item in told["assumptions"])
    text = tell("dram", "lpddr5-6400", "--requests", "2000").out
    assert "bound by data pins" in text


def test_like_channels_add_up() -> None:
    words = ("dram", "lpddr6", "--requests", "2000", "--json", "--channels")
    one, four = (tell(*words, count).json for count in ("1", "4"))
    assert four["achieved_bytes_per_s"] == pytest.approx(4 * one["achieved_bytes_per_s"])
    assert four["fraction_of_peak"] == one["fraction_of_peak"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ddr9",), "unknown DRAM standard"),
        (("hbm3-6400", "--pattern", "random", "--block", "33"), "give a multiple of it"),
        (("hbm3-6400", "--requests", "64"), "must be more than the 128 outstanding"),
        (("lpddr6-10667", "--refresh", "pb"), "tRFCpb is not known"),
    ],
)
def test_mistakes_are_told(words: tuple[str, ...], message: str) -> None:
    assert message in mistake("dram", *words)
