"""`npusim pim` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

from cli_support import mistake, process, tell


def test_gemv_in_a_process_of_its_own(tmp_path: Path) -> None:
    words = ("pim", "gemv", "hbm-pim", "--out", "4096", "--in", "4096", "--json")
    done = process(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert abs(answer["cycles"] / 13166 - 1.0) < 0.05
    clocks_us = sum(value for name, value in answer["breakdown_us"].items() if name not in ("fence", "host_read"))
    assert abs(clocks_us - answer["cycles"] * answer["clock_ns"] / 1e3) < 1e-6
    assert abs(answer["speedup"] * answer["time_us"] / answer["baseline_us"] - 1.0) < 1e-12
    assert 0.0 < answer["fraction_of_peak"] < 1.0
    assert answer["bound"] == "mac"
    assert {item["file"] for item in answer["manifest"]["configs"]} == {"hbm-pim.yaml", "hbm2-pim-2000.yaml"}


def test_intervals_hold_their_values() -> None:
    answer = tell("pim", "gemv", "lpddr6-pim", "--out", "4096", "--in", "4096", "--interval", "--json").json
    for name in ("cycles", "time_us", "speedup", "energy_j"):
        assert answer[name]["low"] <= answer[name]["value"] <= answer[name]["high"]
    assert answer["speedup"]["low"] < answer["speedup"]["high"]
    assert any(item["path"] == "unit.mac.power_factor" for item in answer["assumptions"])


def test_attention_by_placement() -> None:
    words = ("pim", "attention", "attacc", "--heads", "130", "--kv", "2048", "--json")
    times = [tell(*words, "--placement", placement).json["cycles"] for placement in ("bank", "bank_group", "buffer")]
    assert times == sorted(times)


def test_text_names_the_bound_and_the_assumptions() -> None:
    told = tell("pim", "gemv", "lpddr6-pim", "--out", "4096", "--in", "4096")
    assert told.code == 0
    text = " ".join(told.out.split())
    assert "bound by mac" in text
    assert "(no public silicon)" in text
    assert "unit.mac.power_factor" in text


def test_what_is_shipped_is_listed_and_shown() -> None:
    items = tell("list", "pims", "--json").json["items"]
    assert {"hbm-pim", "aim", "attacc-bank", "lpddr5x-pim", "lpddr6-pim"} <= {item["name"] for item in items}
    assert tell("show", "attacc-buffer", "--json").json["kind"] == "pim"


def test_mistakes_name_the_mend() -> None:
    assert "hbm-pim" in mistake("pim", "gemv", "hbm-pimm", "--out", "8", "--in", "8")
    assert "--fence" in mistake("pim", "gemv", "hbm-pim", "--out", "8", "--in", "8", "--fence", "150 GB")
    assert "--placement" in mistake("pim", "gemv", "hbm-pim", "--out", "8", "--in", "8", "--placement", "buffer")
    assert "no PIM units" in mistake("pim", "gemv", "rngd", "--out", "8", "--in", "8")
