"""Files as transformers and tools of quantisation write them: read for what they are, or refused by a field."""

import json
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.evidence.measured.kinds.published_serving import plan_of_text
from npusim.hardware.catalog import load_system
from npusim.workload.catalog import load_model
from npusim.workload.class_defaults import class_defaults
from npusim.workload.families import FAMILIES, SAME
from npusim.workload.formats import kv_of_label, scheme_of_label
from npusim.workload.model import Model
from npusim.workload.model_names import shipped_model

CONFIGS = Path(__file__).parent / "samples" / "configs"
LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 256,
         "max_position_embeddings": 512}  # fmt: skip
LATENT = LLAMA | {"kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12,
                  "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1,
                  "index_n_heads": 2, "index_head_dim": 8, "index_topk": 64}  # fmt: skip
GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "group_size": 16}}


def read(tmp_path: Path, config: dict) -> Model:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return load_model(str(path))


def test_an_object_within_leaves_out_what_is_as_in_its_class(tmp_path: Path) -> None:
    """Each class of the table: the object without sizes is the model with all of them; a file itself tells its own."""
    for name, sizes in class_defaults().items():
        assert SAME.get(name, name.removesuffix("_text")) in FAMILIES
        told = sizes | {"model_type": name, "sliding_window": None}
        untold = {"model_type": "llava", "text_config": {"model_type": name, "sliding_window": None}}
        model = read(tmp_path, untold)
        assert model.parameters == read(tmp_path, told).parameters
        assert any(note.startswith("sizes of its class") for note in model.notes)
        with pytest.raises(UserError, match="is missing"):
            read(tmp_path, {"model_type": name, "vocab_size": 256})


def test_an_object_within_that_tells_its_sizes_has_no_note(tmp_path: Path) -> None:
    within = read(tmp_path, {"model_type": "llava", "text_config": LLAMA | {"tie_word_embeddings": True}})
    assert within.notes == ()
    other = read(tmp_path, {"model_type": "llava", "text_config": LLAMA | {"num_hidden_layers": 3}})
    assert other.layers == within.layers + 1


@pytest.mark.parametrize(
    ("told", "scheme"),
    [
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"},
          "input_tensors": {"dtype": "fp8_e4m3"}}}, "fp8"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32},
          "input_tensors": {"dtype": "fp4"}}}, "nvfp4"),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}, "w4a16"),
        ({"quant_method": "torchao", "quant_type": "int8_dynamic_activation_int8_weight"}, "int8"),
        ({"quant_method": "auto-round", "bits": 4, "act_bits": 4, "data_type": "nv_fp"}, "nvfp4"),
        ({"quant_method": "auto-round", "bits": 4, "data_type": "int", "group_size": 128}, "w4a16"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}}, "nvfp4a16"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP | {
          "input_activations": {"num_bits": 4, "type": "float"}}}}, "nvfp4"),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]}, "fp8"),
    ],
)  # fmt: skip
def test_schemes_in_the_words_of_each_tool(tmp_path: Path, told: dict, scheme: str) -> None:
    checkpoint = read(tmp_path, LLAMA | {"quantization_config": told}).checkpoint
    assert checkpoint is not None
    assert checkpoint.scheme == scheme


def test_quark_tells_the_format_of_the_cache(tmp_path: Path) -> None:
    eight = {"dtype": "fp8_e4m3"}
    told = {"quant_method": "quark", "global_quant_config": {"weight": eight, "input_tensors": eight},
            "kv_cache_quant_config": {"*k_proj": {"output_tensors": eight}}}  # fmt: skip
    checkpoint = read(tmp_path, LLAMA | {"quantization_config": told}).checkpoint
    assert checkpoint is not None
    assert checkpoint.kv == "fp8"


@pytest.mark.parametrize("method", ["hqq", "aqlm", "eetq", "bitnet", "vptq"])
def test_other_methods_are_refused_by_name(tmp_path: Path, method: str) -> None:
    with pytest.raises(UserError, match=rf"quantization_config.quant_method: '{method}' is not predicted.*--precision"):
        read(tmp_path, LLAMA | {"quantization_config": {"quant_method": method}})


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ({"quant_method": "quark"}, "global_quant_config"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int2"}}}, "global_quant_config"),
        ({"quant_method": "torchao", "quant_type": "uintx"}, "quant_type"),
        ({"quant_method": "torchao"}, "quant_type"),
    ],
)
def test_what_a_tool_left_unclear_is_refused_by_its_key(tmp_path: Path, told: dict, key: str) -> None:
    with pytest.raises(UserError, match=rf"quantization_config\.{key}: "):
        read(tmp_path, LLAMA | {"quantization_config": told})


def test_ax_k2_makes_queries_and_a_gate_of_one_product(tmp_path: Path) -> None:
    """Modelling code of Transformers 5.24: 2 x 24 elements in, 4 heads x (8 + 4 + 12) out, in place of 24 by 4 x 12."""
    told = {"model_type": "axk2", "gated_norm_rank": 3, "layer_types": ["indexed_attention"] * 2}
    gated, plain = read(tmp_path, LATENT | told), read(tmp_path, LATENT | {"model_type": "deepseek_v32"})
    product = 2 * 24 * 4 * (12 + 12) - 24 * 4 * 12
    norms = 2 * 2 * 64 * 3
    assert gated.parameters - plain.parameters == 2 * (product + norms)
    assert gated.kv_elements_per_token == plain.kv_elements_per_token


def test_layers_that_keep_a_state_or_a_window_or_all(tmp_path: Path) -> None:
    """LFM3: a gate and a window where `layer_types` says so; what the window does not reach is not cached."""
    kinds = ["conv", "sliding_attention", "full_attention", "conv"]
    told = {"model_type": "lfm3", "num_hidden_layers": 4, "layer_types": kinds, "sliding_window": 32, "conv_L_cache": 7}
    model = read(tmp_path, LLAMA | told)
    assert list(model.windows) == [0, 32, 0, 0]
    ungated = read(tmp_path, LLAMA | told | {"use_attention_gate": False})
    assert model.parameters - ungated.parameters == 2 * 64 * 4


def test_sizes_of_global_layers_by_their_numbers(tmp_path: Path) -> None:
    """Gemma 4: transformers 5 writes sizes of single layers where earlier files have `global_head_dim`."""
    plain = LLAMA | {"model_type": "gemma4_text", "head_dim": 16, "sliding_window": 32, "attention_k_eq_v": True,
                     "layer_types": ["sliding_attention", "full_attention"]}  # fmt: skip
    older = read(tmp_path, plain | {"global_head_dim": 32, "num_global_key_value_heads": 1})
    newer = read(tmp_path, plain | {"per_layer_config": {"01": {"head_dim": 32, "num_key_value_heads": 1}}})
    assert newer.parameters == older.parameters
    assert newer.kv_elements_per_token == older.kv_elements_per_token
    with pytest.raises(UserError, match="per_layer_config: must hold positive whole numbers"):
        read(tmp_path, plain | {"per_layer_config": {"01": {"head_dim": "32"}}})


def test_experts_of_images_are_counted_apart() -> None:
    model = load_model(str(CONFIGS / "ernie-4.5-vl-28b.json"))
    (images,) = [tower for tower in model.towers if tower.key == "moe_intermediate_size.1"]
    assert images.parameters == 28 * 64 * 3 * 2560 * 512
    assert model.parameters == load_model(str(CONFIGS / "ernie-4.5-21b-a3b.json")).parameters


@pytest.mark.parametrize(
    ("name", "what"), [("mllama", "layers attend images"), ("rwkv7", "recurrent network"), ("bert", "an encoder")]
)
def test_models_of_other_kinds_are_refused_by_what_they_are(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(UserError, match=f"model_type: '{name}' is .*{what}"):
        read(tmp_path, LLAMA | {"model_type": name})


@pytest.mark.parametrize(
    ("label", "scheme", "kv"),
    [
        ("FP8 (W8A8 dynamic, KV16)", "fp8", "bf16"), ("NVFP4A16", "nvfp4a16", None), ("INT8 W8A8", "int8", None),
        ("NVFP4 (W4A16)", "nvfp4a16", None), ("W8A8 (INT8), KV8", "int8", "fp8"), ("nvfp4-a16", "nvfp4a16", None),
        ("FP4", "nvfp4", None), ("MXFP4 (W4A4)", "nvfp4", None), ("MXFP4", "mxfp4", None),
    ],
)  # fmt: skip
def test_labels_of_labs(label: str, scheme: str, kv: str | None) -> None:
    assert (scheme_of_label(label), kv_of_label(label)) == (scheme, kv)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("K-EXAONE", "k-exaone-236b"), ("K-EXAONE-236B-A23B (NVFP4A16)", "k-exaone-236b"),
        ("Solar Open 100B", "solar-open-100b"), ("upstage/Solar-Open-100B-W8A8", "solar-open-100b"),
        ("EXAONE 4.0 32B", "exaone-4.0-32b"), ("EXAONE-4.0-32B-FP8-dynamic", "exaone-4.0-32b"),
        ("EXAONE-4.0-1.2B", None),
    ],
)  # fmt: skip
def test_names_of_labs(name: str, model: str | None) -> None:
    assert shipped_model(name) == model


@pytest.mark.parametrize(
    ("text", "cards", "plan"),
    [
        ("TP2 PP2", 4, "tp2-pp2"), ("TP=4, PP=2", 8, "tp4-pp2"), ("TP8 (PEs), PP2", 2, "tp1-pp2"),
        ("PP8", 8, "tp1-pp8"), ("TP8", 1, None), ("TP4/PP1", 4, None), ("TP2 PP2", 8, None), ("", 2, None),
    ],
)  # fmt: skip
def test_degrees_of_labs_are_chips_or_the_parts_that_a_runtime_fuses(text: str, cards: int, plan: str | None) -> None:
    assert plan_of_text(text, load_system("rngd"), cards) == plan
