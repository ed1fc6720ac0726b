"""Shipped models: parameters counted from the shape against published ones, patterns, names and aliases."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.workload.catalog import list_models, load_model
from npusim.workload.model import Model

NAMES = [model.name for model in list_models()]

EXACT = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.3-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-32b": 32_762_123_264,
}
"""Totals of the published weight files."""


def test_the_models_of_the_measuring_table_are_shipped() -> None:
    wanted = {"llama-3.1-8b", "llama-3.1-405b", "llama-3.3-70b", "exaone-3.5-32b", "exaone-4.0-32b"}
    assert wanted | {"qwen3-8b", "qwen3-32b"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_agree_with_the_published_count(name: str) -> None:
    model = load_model(name)
    assert model.published_parameters is not None
    rounding = 0.005e9
    assert abs(model.parameters - model.published_parameters) <= max(0.005 * model.published_parameters, rounding)


@pytest.mark.parametrize(("name", "parameters"), EXACT.items())
def test_parameters_are_exact(name: str, parameters: int) -> None:
    assert load_model(name).parameters == parameters


@pytest.mark.parametrize("name", NAMES)
def test_every_model_names_its_source_and_summary_is_json(name: str) -> None:
    model = load_model(name)
    assert "grade:" in model.source
    assert json.loads(json.dumps(model.summary()))["parameters"] == model.parameters


def test_kv_elements_of_llama_8b() -> None:
    model = load_model("llama-3.1-8b")
    assert model.kv_elements_per_token_per_layer == 2 * 8 * 128
    assert model.summary()["kv_elements_per_token"] == 65536


def test_biases_and_qk_norms_are_counted() -> None:
    model = load_model("llama-3.1-8b")
    biased = dataclasses.replace(model, attention_bias=True, output_bias=True, mlp_bias=True)
    extra = (4096 + 2 * 1024) + 4096 + (2 * 14336 + 4096)
    assert biased.layer_parameters == model.layer_parameters + extra
    normed = dataclasses.replace(model, qk_norm=True)
    assert normed.layer_parameters == model.layer_parameters + 2 * 128


def test_tied_embeddings_are_counted_once() -> None:
    model = load_model("llama-3.1-8b")
    tied = dataclasses.replace(model, tied_embeddings=True)
    assert model.parameters - tied.parameters == 128256 * 4096


def test_patterns() -> None:
    assert load_model("exaone-4.0-32b").layer_pattern() == ((4096, 4096, 4096, 0), 16)
    assert load_model("exaone-3.5-32b").layer_pattern() == ((0,), 64)


def _with_windows(windows: tuple[int, ...]) -> Model:
    return dataclasses.replace(load_model("llama-3.1-8b"), layers=len(windows), windows=windows)


def test_a_list_that_does_not_repeat_is_its_own_pattern() -> None:
    assert _with_windows((0, 0, 128)).layer_pattern() == ((0, 0, 128), 1)
    assert _with_windows((128,)).layer_pattern() == ((128,), 1)


@given(st.lists(st.sampled_from([0, 128, 4096]), min_size=1, max_size=8), st.integers(1, 12))
def test_layer_pattern_round_trip(run: list[int], repeats: int) -> None:
    windows = tuple(run) * repeats
    shortest, times = _with_windows(windows).layer_pattern()
    assert shortest * times == windows
    assert len(shortest) <= len(run)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("LLAMA-3.1-8B", "llama-3.1-8b"),
        ("LGAI-EXAONE/EXAONE-4.0-32B", "exaone-4.0-32b"),
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("qwen/qwen3-32b", "qwen3-32b"),
        ("Llama-3.1-70B", "llama-3.3-70b"),
        ("Qwen2.5-Coder-7B-Instruct", "qwen2.5-7b"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert load_model(alias).name == name


def test_no_alias_stands_for_two_models() -> None:
    folder = Path(__file__).parents[1] / "workloads" / "models"
    names: list[str] = []
    for path in folder.glob("*.json"):
        aliases = {alias.lower() for alias in json.loads(path.read_text())["npusim"]["aliases"]}
        names += [path.stem, *aliases - {path.stem}]
    assert len(names) == len(set(names))


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"llama-3\.1-8\b.*did you mean 'llama-3.1-8b'"):
        load_model("llama-3.1-8")
    with pytest.raises(UserError, match="known: exaone"):
        load_model("zzzz")
