"""A user's own config.json: every family, and every mistake with its file and key."""

import copy
import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from npusim.errors import UserError
from npusim.hardware.data import data_root
from npusim.workload.catalog import load_model
from npusim.workload.hf_config import read_model

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
}
EXAONE4 = LLAMA | {"model_type": "exaone4", "sliding_window": 256, "sliding_window_pattern": "LLLG"}
QWEN2 = LLAMA | {"model_type": "qwen2"}
QWEN3_MOE = LLAMA | {
    "model_type": "qwen3_moe",
    "num_experts": 16,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 256,
}
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v3",
    "n_routed_experts": 16,
    "n_shared_experts": 2,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 256,
    "first_k_dense_replace": 1,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 24,
}
MISTRAL = LLAMA | {"model_type": "mistral", "sliding_window": 128}


def _write(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def _without(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != key}


def test_file_and_folder_load_alike(tmp_path: Path) -> None:
    folder = tmp_path / "My-Model"
    folder.mkdir()
    path = _write(folder, LLAMA)
    assert load_model(str(folder)) == load_model(str(path))
    model = load_model(str(path))
    assert (model.name, model.title, model.source) == ("My-Model", "My-Model", str(path))
    assert model.head_dim == 64
    assert model.published_parameters is None


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = _write(tmp_path, LLAMA)
    assert load_model(str(path)).layers == 8
    _write(tmp_path, LLAMA | {"num_hidden_layers": 9})
    assert load_model(str(path)).layers == 9


def test_a_file_of_another_name_names_the_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(LLAMA))
    assert load_model(str(path)).name == "mine"


def test_family_by_architecture(tmp_path: Path) -> None:
    config = _without(LLAMA, "model_type") | {"architectures": ["Qwen3ForCausalLM"]}
    model = load_model(str(_write(tmp_path, config)))
    assert (model.family, model.qk_norm, model.attention_bias) == ("qwen3", True, False)


def test_exaone_spelling(tmp_path: Path) -> None:
    config = _without(LLAMA, "num_hidden_layers") | {"model_type": "exaone", "num_layers": 5}
    assert load_model(str(_write(tmp_path, config))).layers == 5


def test_llama_without_kv_heads_has_one_per_query_head(tmp_path: Path) -> None:
    model = load_model(str(_write(tmp_path, _without(LLAMA, "num_key_value_heads"))))
    assert model.kv_heads == model.heads


def test_biases_by_family(tmp_path: Path) -> None:
    model = load_model(str(_write(tmp_path, QWEN2)))
    assert (model.attention_bias, model.output_bias, model.mlp_bias) == (True, False, False)
    model = load_model(str(_write(tmp_path, LLAMA | {"attention_bias": True, "mlp_bias": True})))
    assert (model.attention_bias, model.output_bias, model.mlp_bias) == (True, True, True)


KINDS = ["sliding_attention", "full_attention"] * 4
USED = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 6}


@pytest.mark.parametrize(
    ("config", "windows"),
    [
        (LLAMA, (0,) * 8),
        (EXAONE4, (256, 256, 256, 0) * 2),
        (EXAONE4 | {"sliding_window_pattern": 4}, (256, 256, 256, 0) * 2),
        (EXAONE4 | {"layer_types": KINDS}, (256, 0) * 4),
        (EXAONE4 | {"sliding_window": None, "sliding_window_pattern": None}, (0,) * 8),
        (MISTRAL, (128,) * 8),
        (MISTRAL | {"sliding_window": None}, (0,) * 8),
        (MISTRAL | {"layer_types": KINDS}, (128, 0) * 4),
        (QWEN2 | {"sliding_window": 64, "max_window_layers": 6}, (0,) * 8),
        (QWEN2 | USED, (0,) * 6 + (64,) * 2),
        (QWEN2 | USED | {"layer_types": KINDS}, (64, 0) * 4),
        (QWEN2 | USED | {"layer_types": ["full_attention"] * 8}, (0,) * 8),
    ],
)
def test_windows(tmp_path: Path, config: dict[str, Any], windows: tuple[int, ...]) -> None:
    assert load_model(str(_write(tmp_path, config))).windows == windows


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        (LLAMA | {"model_type": "gpt2"}, "model_type", "unknown model family 'gpt2'; known: llama, exaone"),
        (_without(LLAMA, "model_type"), "model_type", "is missing"),
        (_without(LLAMA, "model_type") | {"architectures": ["X"]}, "architectures", "unknown model family"),
        (_without(LLAMA, "hidden_size"), "hidden_size", "is missing"),
        (LLAMA | {"hidden_size": 0}, "hidden_size", "0 is not a positive whole number"),
        (LLAMA | {"hidden_size": -4}, "hidden_size", "-4 is not a positive"),
        (LLAMA | {"num_hidden_layers": 2.5}, "num_hidden_layers", "2.5 is not a positive"),
        (LLAMA | {"vocab_size": "1000"}, "vocab_size", '"1000" is not a positive'),
        (LLAMA | {"vocab_size": True}, "vocab_size", "true is not a positive"),
        (LLAMA | {"num_key_value_heads": 3}, "num_key_value_heads", "must be a multiple"),
        (LLAMA | {"hidden_size": 510}, "head_dim", "no multiple of 8 heads"),
        (LLAMA | {"tie_word_embeddings": "no"}, "tie_word_embeddings", "not true or false"),
        (_without(QWEN2, "num_key_value_heads"), "num_key_value_heads", "is missing"),
        (LLAMA | {"num_experts": 128}, "num_experts", "a mixture of experts, which models of type llama do not have"),
        (LLAMA | {"model_type": "x", "n_routed_experts": 64}, "model_type", "unknown model family 'x'"),
        (LLAMA | {"kv_lora_rank": 512}, "kv_lora_rank", r"latent attention \(MLA\), which models of type llama"),
        (QWEN3_MOE | {"kv_lora_rank": 512}, "kv_lora_rank", "which models of type qwen3_moe do not have"),
        (_without(QWEN3_MOE, "num_experts"), "num_experts", "is missing"),
        (QWEN3_MOE | {"num_experts_per_tok": 17}, "num_experts_per_tok", "17 experts of 16 cannot be chosen"),
        (QWEN3_MOE | {"mlp_only_layers": [8]}, "mlp_only_layers", "layers from 0 to 7"),
        (_without(DEEPSEEK, "kv_lora_rank"), "kv_lora_rank", "is missing"),
        (_without(DEEPSEEK, "intermediate_size"), "intermediate_size", "is missing"),
        (DEEPSEEK | {"first_k_dense_replace": -1}, "first_k_dense_replace", "-1 is not a positive"),
        (QWEN3_MOE | {"quantization_config": 4}, "quantization_config", "must be an object"),
        (QWEN3_MOE | {"npusim": {"expert_skew": {"span": 2}}}, "npusim.expert_skew", "must give exponent"),
        (LLAMA | {"npusim": {"assumptions": [1]}}, "npusim.assumptions", "must be an object of keys"),
        (LLAMA | {"npusim": {"assumptions": {"vocab_size": 3}}}, "npusim.assumptions.vocab_size", "low, high and"),
        (
            LLAMA | {"npusim": {"assumptions": {"vocab_size": {"low": 1, "high": 2, "reason": "x"}}}},
            "npusim.assumptions.vocab_size",
            "must enclose 1000",
        ),
        (_without(EXAONE4, "sliding_window"), "sliding_window", "is missing"),
        (_without(EXAONE4, "sliding_window_pattern"), "sliding_window_pattern", "is missing"),
        (EXAONE4 | {"sliding_window_pattern": "LLX"}, "sliding_window_pattern", "only L"),
        (EXAONE4 | {"layer_types": KINDS[:3]}, "layer_types", "each of the 8 layers"),
        (EXAONE4 | {"layer_types": ["odd"] * 8}, "layer_types", "'odd' is neither"),
        (MISTRAL | {"sliding_window": -1}, "sliding_window", "-1 is not a positive"),
        (QWEN2 | {"use_sliding_window": True}, "sliding_window", "is missing"),
        (QWEN2 | USED | {"max_window_layers": 9}, "max_window_layers", "from 0 to the 8 layers"),
        (LLAMA | {"npusim": 3}, "npusim", "must be an object"),
        (LLAMA | {"npusim": {"aliases": "a"}}, "npusim.aliases", "list of texts"),
        (LLAMA | {"npusim": {"title": 3}}, "npusim.title", "must be a text"),
        (
            LLAMA | {"npusim": {"published_parameters_b": -1}},
            "npusim.published_parameters_b",
            "not a positive",
        ),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, config: Any, key: str, message: str) -> None:
    path = _write(tmp_path, config)
    with pytest.raises(UserError, match=message) as caught:
        load_model(str(path))
    assert (caught.value.location, caught.value.key) == (str(path), key)
    assert "\n" not in str(caught.value)


def test_experts_are_read_in_every_spelling(tmp_path: Path) -> None:
    experts = load_model(str(_write(tmp_path, QWEN3_MOE))).experts
    assert experts is not None
    assert (experts.count, experts.chosen, experts.width, experts.shared_width) == (16, 4, 256, 0)
    model = load_model(str(_write(tmp_path, DEEPSEEK)))
    assert model.experts is not None
    assert model.experts.shared_width == 512
    assert [layer.routed for layer in model.layer_kinds] == [False] + [True] * 7
    spelled = _without(QWEN3_MOE, "num_experts") | {"model_type": "mixtral", "num_local_experts": 4}
    mixtral = load_model(str(_write(tmp_path, _without(spelled, "moe_intermediate_size")))).experts
    assert mixtral is not None
    assert (mixtral.count, mixtral.width) == (4, 1024)


@pytest.mark.parametrize(
    ("keys", "dense"),
    [
        ({}, ()),
        ({"mlp_only_layers": [0, 5]}, (0, 5)),
        ({"decoder_sparse_step": 2}, (0, 2, 4, 6)),
        ({"first_k_dense_replace": 2}, (0, 1)),
        ({"moe_layer_freq": 4}, (1, 2, 3, 5, 6, 7)),
    ],
)
def test_layers_without_experts(tmp_path: Path, keys: dict[str, Any], dense: tuple[int, ...]) -> None:
    assert load_model(str(_write(tmp_path, QWEN3_MOE | keys))).dense_layers == dense


def test_latents_are_read(tmp_path: Path) -> None:
    model = load_model(str(_write(tmp_path, DEEPSEEK)))
    assert model.latent is not None
    assert (model.head_dim, model.kv_heads, model.kv_elements_per_token_per_layer) == (48, 8, 80)
    model = load_model(str(_write(tmp_path, DEEPSEEK | {"q_lora_rank": None})))
    assert model.latent is not None
    assert model.latent.query_rank == 0


def test_experts_alone_in_the_makers_format(tmp_path: Path) -> None:
    kept = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    assert load_model(str(_write(tmp_path, QWEN3_MOE | {"quantization_config": kept}))).experts_only == "mxfp4"
    everything = {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]}
    assert load_model(str(_write(tmp_path, QWEN3_MOE | {"quantization_config": everything}))).experts_only == ""


def test_a_file_may_bring_its_own_skew_and_assumptions(tmp_path: Path) -> None:
    about = {
        "expert_skew": {"exponent": 1.2, "span": 40},
        "assumptions": {"vocab_size": {"low": 900, "high": 1100, "reason": "a guess"}},
    }
    model = load_model(str(_write(tmp_path, QWEN3_MOE | {"npusim": about})))
    assert model.experts is not None
    assert (model.experts.skew.exponent, model.experts.skew.span) == (1.2, 40.0)
    assert [(item.path, item.quantity.kind) for item in model.assumptions] == [("vocab_size", "assumed")]
    assert model.summary()["assumptions"][0]["source"] == "a guess"


def test_text_that_is_not_json_names_the_line(tmp_path: Path) -> None:
    path = _write(tmp_path, '{\n "model_type": "llama",\n oops}')
    with pytest.raises(UserError, match="no JSON") as caught:
        load_model(str(path))
    assert caught.value.location == f"{path}:3"


def test_json_that_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="JSON object"):
        load_model(str(_write(tmp_path, "[1]")))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="save it as UTF-8"):
        load_model(str(path))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_model(str(tmp_path / "none.json"))
    with pytest.raises(UserError, match="no such file"):
        load_model("./none")
    with pytest.raises(UserError, match="cannot be read"):
        load_model(str(tmp_path))


_ODD = (None, -1, 0, 0.1, True, "abc", "", [], {}, [1], {"a": 1}, [None], [["x"]], 10**30, float("nan"), "x" * 20000)


def _locations(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else list(enumerate(node))[:1] if isinstance(node, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from _locations(value, (*path, key))


@pytest.mark.parametrize("name", ["gpt-oss-20b", "deepseek-v3"])
def test_any_value_in_any_place_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    shipped = json.loads((data_root("workloads") / "models" / f"{name}.json").read_text(encoding="utf-8"))
    path, refused = tmp_path / "model.json", 0
    for location in _locations(shipped):
        for odd in _ODD:
            changed = copy.deepcopy(shipped)
            *above, last = location
            reduce(lambda node, key: node[key], above, changed)[last] = odd
            path.write_text(json.dumps(changed), encoding="utf-8")
            try:
                read_model(path, name)
            except UserError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 200
