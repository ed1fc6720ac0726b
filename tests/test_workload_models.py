"""Shipped models: parameters counted from the shape against published ones, patterns, names and aliases."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.workload.catalog import list_models, load_model
from npusim.workload.segments import Layer, segments

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
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "deepseek-v3": 671_026_419_200,
    "gpt-oss-120b": 116_829_156_672,
    "gpt-oss-20b": 20_914_757_184,
    "mixtral-8x7b": 46_702_792_704,
}
"""Totals of the published weight files."""


def test_the_models_of_the_measuring_table_are_shipped() -> None:
    wanted = {"llama-3.1-8b", "llama-3.1-405b", "llama-3.3-70b", "exaone-3.5-32b", "exaone-4.0-32b"}
    assert wanted | {"qwen3-8b", "qwen3-32b"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_agree_with_the_published_count(name: str) -> None:
    model = load_model(name)
    assert model.published_parameters is not None
    rounding, share = 0.005e9, 0.03 if model.assumptions else 0.01
    assert abs(model.parameters - model.published_parameters) <= max(share * model.published_parameters, rounding)


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


def test_segments_of_shipped_models() -> None:
    local, seen = Layer(4096, False), Layer(0, False)
    assert load_model("exaone-4.0-32b").segments == (((local, local, local, seen), 16),)
    assert load_model("exaone-3.5-32b").segments == (((seen,), 64),)
    assert load_model("deepseek-v3").segments == (((seen,), 3), ((Layer(0, True),), 58))
    assert load_model("gpt-oss-120b").segments == (((Layer(128, True), Layer(0, True)), 18),)
    near, far = Layer(128, True), Layer(0, True)
    first = (Layer(128, False), near, near, far)
    assert load_model("k-exaone-236b").segments == ((first, 1), ((near, near, near, far), 11))


LAYERS = st.builds(Layer, st.sampled_from([0, 128, 4096]), st.booleans())


@given(st.lists(LAYERS, max_size=4), st.lists(LAYERS, min_size=1, max_size=5), st.integers(1, 12))
def test_segments_spell_the_layers(lead: list[Layer], run: list[Layer], repeats: int) -> None:
    layers = tuple(lead) + tuple(run) * repeats
    found = segments(layers)
    assert sum((part * times for part, times in found), ()) == layers
    assert sum(len(part) for part, _ in found) <= len(lead) + len(run)


def test_layers_that_do_not_repeat_are_one_segment() -> None:
    layers = (Layer(0, False), Layer(0, False), Layer(128, False))
    assert segments(layers) == ((layers, 1),)
    assert segments(layers[1:]) == ((layers[1:], 1),)


@pytest.mark.parametrize(
    ("name", "active", "tables"),
    [
        ("gpt-oss-120b", 5.13e9, 1),
        ("gpt-oss-20b", 3.61e9, 1),
        ("deepseek-v3", 36.7e9, 1),
        ("mixtral-8x7b", 12.9e9, 2),
        ("solar-open-100b", 12e9, 2),
        ("a.x-k1", 33e9, 2),
        ("qwen3-235b-a22b", 22e9, 2),
    ],
)
def test_active_parameters_agree_with_the_published_count(name: str, active: float, tables: int) -> None:
    """tables: how many of the embedding and the LM head the publisher counts."""
    model = load_model(name)
    assert model.active_parameters + (tables - 1) * model.embedding_parameters == pytest.approx(active, rel=0.01)


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
    with pytest.raises(UserError, match=r"known: a\.x-4\.0-72b"):
        load_model("zzzz")


@pytest.mark.parametrize(("name", "parameters"), [("dense 20B", 20e9), ("Dense-1.5b", 1.5e9), ("dense 70 B", 70e9)])
def test_a_dense_model_has_the_parameters_that_are_told_of_it(name: str, parameters: float) -> None:
    model = load_model(name)
    assert model.parameters == pytest.approx(parameters, rel=0.01)
    assert model.heads % model.kv_heads == 0 and model.experts is None
    assert {each.quantity.kind for each in model.assumptions} == {"assumed"}


def test_a_dense_model_of_a_known_size_costs_as_the_known_one_does() -> None:
    """Llama 3.1 8B: the same widths, one layer less, and an MLP that makes up for it."""
    own, known = load_model("dense 8B"), load_model("llama-3.1-8b")
    assert (own.hidden, own.heads, own.kv_heads, own.vocab) == (known.hidden, known.heads, known.kv_heads, known.vocab)
    assert abs(own.layers - known.layers) <= 1


def test_a_dense_model_too_small_for_its_shape_is_refused() -> None:
    with pytest.raises(UserError, match="give a config"):
        load_model("dense 0.1B")
