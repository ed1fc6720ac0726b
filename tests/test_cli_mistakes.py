"""Mistakes on the command line and in the files that it is given: one line each, exit code 2; failures of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_support import RUN, STEP, mistake, tell

from npusim.answers import describe, predict
from npusim.hardware.catalog import system_path
from npusim.workload.catalog import model_path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`own(name, old, new)`: a copy of the shipped RNGD with one text replaced."""
    folder = tmp_path_factory.mktemp("own")

    def copy(name: str, old: str = "", new: str = "") -> Path:
        text = re.sub(r"^calibration:.*\n", "", system_path("rngd").read_text(), flags=re.MULTILINE)
        assert old in text
        path = folder / f"{name}.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return copy


@pytest.mark.parametrize(
    ("name", "old", "new", "parts"),
    [
        ("unknown-key", "stacks:", "stakcs:", ("chip.memory.stakcs", "did you mean 'stacks'")),
        ("no-unit", "value: 48 GB/s", "value: 48", ("chip.memory.channel_bandwidth", "has no unit")),
        ("negative", "value: 48 GiB", "value: -48 GiB", ("chip.memory.capacity", "must be more than zero")),
        ("zero", "value: 48 GiB", "value: 0 GiB", ("chip.memory.capacity", "must be more than zero")),
        ("syntax", "chip:\n", "chip: [\n", (".yaml:", "YAML syntax")),
        ("bare", "{value: 1.0 GHz, kind: datasheet", "{value: 1.0 GHz", ("chip.unit.clock", "lacks kind")),
    ],
)
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_mistake_in_a_file_names_file_line_key_and_mend(
    own: Any, tmp_path: Path, name: str, old: str, new: str, parts: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    path, out = own(name, old, new), tmp_path / "out"
    line = mistake("kperf", path, "--grid", "quick", "--out", out, *as_json)
    assert line.startswith(f"error: {path}:")
    assert all(part in line for part in parts)
    assert not out.exists()


def test_a_binary_rate_is_warned_of_once_and_used(own: Any) -> None:
    path = own("binary", "value: 30 GB/s", "value: 30 GiB/s")
    told = tell("show", path, "--json")
    assert told.json["config"]["card"]["host_link"]["bandwidth"]["value"] == 30 * 2**30
    lines = told.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert all(part in lines[0] for part in (str(path), "30 GiB/s", "GB/s"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((*STEP, "--batch", "-1"), ("--batch", "-1", "1 or more")),
        ((*STEP, "--context", "0"), ("--context", "1 or more")),
        ((*STEP, "--context", "200000"), ("--context", "131072")),
        ((*STEP, "--batch", "many"), ("--batch", "many", "npusim step --help")),
        ((*STEP, "--phase", "both"), ("--phase", "both", "'decode'")),
        ((*STEP, "--precision", "fp3"), ("--precision", "fp3", "mxfp4")),
        ((*STEP, "--cards", "some"), ("--cards", "some", "auto")),
        ((*STEP, "--cards", "9"), ("--cards", "at most 8")),
        ((*STEP, "--tp", "2"), ("--tp", "1 to 1")),
        ((*STEP, "--runtime", "vllm"), ("--runtime", "vllm", "furiosa-llm-2026.3")),
        ((*STEP, "--seed", "-3"), ("--seed", "-3")),
        ((*STEP, "--quarry", "3"), ("--quarry", "--query", "npusim step --help")),
        (("step", "rngd", "llama-3.1-8b", "--batch", "1", "--context", "1"), ("--phase", "missing", "decode, prefill")),
        (("step", "rngd"), ("MODEL", "missing")),
        ((*RUN, "--concurrency", "0"), ("--concurrency", "1 or more")),
        ((*RUN, "--isl", "-5"), ("--isl", "1 or more")),
        ((*RUN, "--arrival", "now"), ("--arrival", "now", "poisson:2.5")),
        (("list", "chips"), ("chips", "'archs'", "npusim list --help")),
        (("show", "rngdd"), ("rngdd", "did you mean 'rngd'")),
        (("show", "nowhere.yaml"), ("nowhere.yaml", "cannot be read")),
        (("show", "nowhere.json"), ("nowhere.json", "no such file")),
        (("kperf", "rngd"), ("--out", "missing", "npusim kperf --help")),
        (("kperf", "rngd", "--out", "x", "--grid", "quikc"), ("--grid", "did you mean 'quick'")),
        (("kperf", "rngd", "--out", "x", "--models", ","), ("--models", "npusim list models")),
        (("kperf", "rngd", "--out", "x", "--models", "llama-3.1-8"), ("did you mean 'llama-3.1-8b'",)),
        (("prognose",), ("prognose", "npusim --help")),
        (("predict", "rngd", "--register"), ("--register", "--out PACK.json")),
    ],
)
@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_mistake_in_the_words_names_option_and_mend(
    words: tuple[str, ...], parts: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    line = mistake(*words, *as_json)
    assert all(part in line for part in parts), line


def test_more_chips_than_query_heads(tmp_path: Path) -> None:
    config = json.loads(model_path("llama-3.1-8b").read_text()) | {"num_attention_heads": 4, "num_key_value_heads": 4}
    path = tmp_path / "small.json"
    path.write_text(json.dumps(config))
    words = ("--phase", "decode", "--batch", "1", "--context", "16", "--cards", "8")
    line = mistake("step", "rngd", path, *words)
    assert "8 chips are more than the 4 query heads" in line


def test_a_model_that_does_not_fit_says_how_many_cards_would_do() -> None:
    line = mistake("run", "rngd", "llama-3.3-70b", "--isl", "64", "--osl", "8", "--concurrency", "1")
    assert "--cards 4" in line


def test_an_out_that_is_a_file_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert "--out" in mistake("kperf", "rngd", "--out", path)


def test_a_failure_of_its_own_is_one_line_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_what: str) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(describe, "list_items", broken)
    monkeypatch.delenv("NPUSIM_DEBUG", raising=False)
    told = tell("list", "archs", "--json")
    assert (told.code, told.out) == (1, "")
    first, advice = told.err.splitlines()
    assert first == "failure: npusim itself failed: ZeroDivisionError: two lines"
    assert "NPUSIM_DEBUG=1" in advice
    monkeypatch.setenv("NPUSIM_DEBUG", "1")
    assert "Traceback" in tell("list", "archs").err


def test_an_interruption_has_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_words: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict_run", interrupted)
    told = tell(*RUN)
    assert (told.code, told.out) == (130, "")
    assert told.err.endswith("interrupted\n")
    assert "Traceback" not in told.err
