"""What is asked for or described beyond what can be: refused in one line that names file or option, and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_support import mistake

from npusim.errors import UserError
from npusim.hardware.catalog import load_system
from npusim.lab.files.folder import hand_in
from npusim.workload.arrivals import parse_arrival
from npusim.workload.catalog import load_model, model_path
from npusim.workload.prompts import random_prompts
from npusim.workload.segments import Layer, segments

SAMPLES = Path(__file__).parent / "samples" / "lab"


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("memory", "hot_efficiency", "1.5", "at most 1"),
        ("memory", "usable_capacity", "4750 GiB", "is more than the capacity"),
        ("memory", "stacks", "2.5", "must be a whole number"),
        ("unit", "clusters", "1.5", "must be a whole number"),
        ("unit", "dma_command", "1e300 us", "at most 10000 s"),
        ("power", "minimum_clock", "3", "at most 1"),
        ("power", "cap", "1 mW", "less than what the chip draws idle"),
    ],
)
def test_a_number_outside_its_domain_is_refused(tmp_path: Path, part: str, key: str, value: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    number = f'{{value: {value}, kind: datasheet, source: "none"}}'
    path.write_text(f"extends: rngd\nname: mine\ntitle: Mine\nchip: {{{part}: {{{key}: {number}}}}}\n")
    with pytest.raises(UserError, match=message) as caught:
        load_system(str(path), uncalibrated=True)
    assert caught.value.location == f"{path}:4"


def _config(tmp_path: Path, name: str = "llama-3.1-8b", **changes: Any) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(model_path(name).read_text()) | changes))
    return str(path)


@pytest.mark.parametrize(
    "key", ["num_key_value_headz", "num_key_value_head", "num-key-value-heads", "NUM_KEY_VALUE_HEADS", "head_dims"]
)
def test_a_misspelt_key_of_a_model_is_not_overlooked(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"{key}: unknown key; did you mean"):
        load_model(_config(tmp_path, **{key: 8}))


@pytest.mark.parametrize("key", ["rope_theta", "hidden_act", "attention_dropout", "original_max_position_embeddings"])
def test_other_keys_of_a_model_are_left_alone(tmp_path: Path, key: str) -> None:
    assert load_model(_config(tmp_path, **{key: 8})).kv_heads == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**7}, "more than any model has"),
        ({"hidden_size": 10**9}, "more than any model has"),
        ({"hidden_size": 10**8, "intermediate_size": 10**8}, "parameters, more than any machine holds"),
        ({"npusim": {"published_parameters_b": 1e12}}, "is not a positive number"),
        ({"npusim": {"titel": "x"}}, "npusim.titel: unknown key; known: title"),
    ],
)
def test_a_model_beyond_all_models_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_model(_config(tmp_path, **changes))


def test_ten_thousand_layers_are_read_at_once(tmp_path: Path) -> None:
    assert len(load_model(_config(tmp_path, num_hidden_layers=10_000)).segments) == 1
    alternating = (Layer(0, False), Layer(512, False)) * 5000
    assert segments(alternating) == ((alternating[:2], 5000),)


def test_runs_beyond_all_servers_are_refused() -> None:
    with pytest.raises(UserError, match="--requests"):
        random_prompts(10**10, 64)
    for arrival, users in (("closed", 10**6), ("poisson:1e-12", 1), ("poisson:1e300", 1), ("poisson:nan", 1)):
        with pytest.raises(UserError, match=r"--concurrency|--arrival"):
            parse_arrival(arrival, users)


RUN = ("run", "rngd", "llama-3.1-8b", "--isl", "64", "--osl", "4", "--concurrency", "2")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--requests", "10000000000"), "--requests: 10,000,000,000 must be at most 1,000,000"),
        (("--concurrency", "1000000"), "--concurrency"),
        (("--isl", "1" + "0" * 12), "--isl"),
        (("--seed", str(2**70)), "--seed"),
        (("--plan", "a" * 5000), "--plan"),
    ],
)
def test_options_beyond_their_bounds_are_refused(words: tuple[str, ...], part: str) -> None:
    line = mistake(*RUN, *words)
    assert part in line
    assert len(line) < 1500


@pytest.mark.parametrize(
    ("sample", "change", "message"),
    [
        ("aiperf/profile_export_aiperf.json", {"telemetry_data": []}, "telemetry_data: must be an object"),
        ("aiperf/profile_export_aiperf.json", {"start_time": {}}, "start_time: must be a text"),
        ("vllm", {"input_lens": [{}, {}], "output_lens": [1, 1]}, "input_lens: an object is no number"),
        ("vllm", {"mean_ttft_ms": "1.155,5"}, "mean_ttft_ms: '1.155,5' has a decimal comma"),
        ("vllm", {"std_ttft_ms": -1}, "std_ttft_ms: -1 is below zero"),
        ("vllm", {"max_concurrency": 10**6}, "max_concurrency"),
        ("vllm", {"model_id": ["x"]}, "model_id: must be a text"),
    ],
)
def test_a_result_of_the_wrong_kind_is_one_line(
    sample: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = next(SAMPLES.rglob("vllm-*.json")) if sample == "vllm" else SAMPLES / sample
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(source.read_text()) | change))
    with pytest.raises(UserError, match=message):
        hand_in(path)


def test_a_request_without_metadata_is_told_with_its_line(tmp_path: Path) -> None:
    lines = (SAMPLES / "aiperf" / "profile_export.jsonl").read_text().splitlines()
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join([lines[0], '{"metrics": {}}', *lines[1:]]))
    with pytest.raises(UserError, match=r"p.jsonl:2: metadata: the key is missing"):
        hand_in(path)


def test_a_message_is_one_short_line_that_a_terminal_shows() -> None:
    text = str(UserError("f.csv", "a\x1b[2J", "x" * 10**6 + "\n\ud800"))
    assert len(text) < 300
    assert text.isprintable()
