"""Public configurations of every family: parameters against published counts, caches and flops against closed forms."""

import json
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.workload.catalog import load_model, taken_for

CONFIGS = Path(__file__).parent / "samples" / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))

KV_ELEMENTS = {
    "phi-4": 2 * 10 * 128 * 40,
    "deepseek-v2": (512 + 64) * 60,
    "falcon-7b": 2 * 64 * 32,
    "falcon-40b": 2 * 8 * 64 * 60,
    "starcoder": 2 * 128 * 40,
    "glm-4-9b": 2 * 2 * 128 * 40,
    "gpt2": 2 * 768 * 12,
    "step3": 2 * 256 * 61,
    "longcat-flash": (512 + 64) * 28 * 2,
    "llama-4-scout": 2 * 8 * 128 * 48,
    "mimo-v2-flash": 9 * 4 * (192 + 128) + 39 * 8 * (192 + 128),
}
"""Elements of keys and values (or latents) that a token leaves in the caches of all layers."""


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_published_ones(name: str) -> None:
    """0.1 % where the file is certain, 1 % where the publisher rounds or it was recalled with doubt."""
    model = load_model(str(CONFIGS / f"{name}.json"))
    assert model.published_parameters is not None
    rounded = model.published_parameters % 1e9 == 0 or "not certain" in model.source
    assert model.parameters == pytest.approx(model.published_parameters, rel=0.01 if rounded else 0.001)


@pytest.mark.parametrize("name", KV_ELEMENTS)
def test_cached_elements_of_a_token(name: str) -> None:
    assert load_model(str(CONFIGS / f"{name}.json")).kv_elements_per_token == KV_ELEMENTS[name]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "published_active_b" in (CONFIGS / f"{name}.json").read_text()]
)
def test_active_parameters_are_the_published_ones(name: str) -> None:
    """Publishers round to billions and differ in whether they count embedding and head."""
    model = load_model(str(CONFIGS / f"{name}.json"))
    assert model.published_active is not None
    slack = 0.55e9 + 2 * model.embedding_parameters
    assert abs(model.active_parameters - model.published_active) <= max(slack, 0.03 * model.published_active)


def test_layers_look_back_as_far_as_their_family_says() -> None:
    def windows(name: str) -> list[int]:
        return list(load_model(str(CONFIGS / f"{name}.json")).windows)

    assert windows("gemma-2-9b") == [4096, 0] * 21
    assert windows("gemma-3-12b") == [1024, 1024, 1024, 1024, 1024, 0] * 8
    assert windows("command-a") == [4096, 4096, 4096, 0] * 16
    assert windows("llama-4-scout") == [-8192, -8192, -8192, 0] * 12
    assert windows("smollm3-3b") == [0] * 36


def test_layers_of_a_cross_layer_cache_keep_it_once(tmp_path: Path) -> None:
    config = json.loads((CONFIGS / "hunyuan-a13b.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"use_cla": True}))
    shared, plain = load_model(str(path)), load_model(str(CONFIGS / "hunyuan-a13b.json"))
    assert 2 * shared.kv_elements_per_token == plain.kv_elements_per_token
    assert plain.parameters - shared.parameters == 16 * 4096 * 2 * 8 * 128


def test_towers_are_named_and_counted_apart() -> None:
    model = load_model(str(CONFIGS / "qwen3-vl-8b.json"))
    (tower,) = model.towers
    assert (tower.key, tower.layers, tower.hidden) == ("vision_config", 27, 1152)
    assert tower.parameters == 27 * 1152 * (4 * 1152 + 2 * 4304)
    assert model.parameters == load_model("qwen3-8b").parameters


def test_a_file_may_be_taken_for_one_of_another_family(tmp_path: Path) -> None:
    config = json.loads((CONFIGS / "yi-34b.json").read_text()) | {"model_type": "brandnew"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"unknown model family 'brandnew'.* --as "):
        load_model(str(path))
    assert load_model(taken_for(str(path), "llama")).parameters == load_model(str(CONFIGS / "yi-34b.json")).parameters
    assert load_model(f"{path} as starcoder2").family == "starcoder2"
    with pytest.raises(UserError, match=r"--as: lama: no such family of models; did you mean 'llama'"):
        load_model(taken_for(str(path), "lama"))
