"""Formats of checkpoints: what is quantised, what is kept, and that a model runs as it is stored."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npusim import dtypes
from npusim.api.deploying import warn_of_other_format
from npusim.errors import UserError
from npusim.hardware.catalog import load_system
from npusim.hardware.machine import build_machine
from npusim.lab.files.naming import told_kv, told_precision
from npusim.mapping.deployment import deploy
from npusim.mapping.footprint import weight_bytes
from npusim.mapping.lower import program
from npusim.mapping.optable import EXPERT_UP, GATE_UP, OUT, QKV
from npusim.mapping.plan import Plan
from npusim.workload.catalog import load_model
from npusim.workload.formats import kv_of_label, scheme_of_label
from npusim.workload.model import Model
from npusim.workload.module_names import NameRules
from npusim.workload.precision import resolve_precision

CONFIGS = Path(__file__).parent / "samples" / "configs"
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}  # fmt: skip
MOE = LLAMA | {
    "model_type": "deepseek_v3", "n_routed_experts": 16, "n_shared_experts": 1, "num_experts_per_tok": 4,
    "moe_intermediate_size": 256, "first_k_dense_replace": 1, "kv_lora_rank": 64, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16, "v_head_dim": 32, "q_lora_rank": 96,
}  # fmt: skip
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


def _group(bits: int, kind: str, inputs: int | None, **more: Any) -> dict[str, Any]:
    activations = None if inputs is None else {"num_bits": inputs, "type": kind, "dynamic": True}
    return {
        "targets": ["Linear"],
        "weights": {"num_bits": bits, "type": kind, **more},
        "input_activations": activations,
    }


def _packed(*groups: dict[str, Any], ignore: tuple[str, ...] = ("lm_head",), **more: Any) -> dict[str, Any]:
    named = {f"group_{number}": group for number, group in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "config_groups": named, "ignore": list(ignore), **more}


def _model(folder: Path, shape: dict[str, Any], quantisation: Any = None, beside: Any = None) -> Model:
    path = folder / "config.json"
    path.write_text(json.dumps(shape if quantisation is None else shape | {"quantization_config": quantisation}))
    if beside is not None:
        (folder / "hf_quant_config.json").write_text(json.dumps(beside))
    return load_model(str(path))


@pytest.mark.parametrize(
    ("quantisation", "scheme"),
    [
        (FP8, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "w4a16"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "w8a16"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "w4a16"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        (_packed(_group(8, "float", 8)), "fp8"),
        (_packed(_group(8, "int", 8)), "int8"),
        (_packed(_group(8, "int", None)), "w8a16"),
        (_packed(_group(4, "int", None, group_size=128)), "w4a16"),
        (_packed(_group(4, "float", 4, group_size=16)), "nvfp4"),
        (_packed(_group(4, "float", None, group_size=16)), "nvfp4a16"),
        (_packed(_group(4, "float", None, group_size=32)), "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
    ],
)
def test_the_scheme_of_most_weights(tmp_path: Path, quantisation: dict[str, Any], scheme: str) -> None:
    checkpoint = _model(tmp_path, LLAMA, quantisation).checkpoint
    assert checkpoint is not None and (checkpoint.scheme, checkpoint.kv) == (scheme, None)


def test_formats_of_the_cache_and_of_a_file_beside(tmp_path: Path) -> None:
    for more in ({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, {"kv_cache_quant_algo": "FP8"}):
        checkpoint = _model(tmp_path, LLAMA, _packed(_group(8, "float", 8), **more)).checkpoint
        assert checkpoint is not None and checkpoint.kv == "fp8"
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    checkpoint = _model(tmp_path, LLAMA, beside=beside).checkpoint
    assert checkpoint is not None and (checkpoint.scheme, checkpoint.kv) == ("nvfp4", "fp8")
    assert _model(tmp_path, LLAMA, {"quant_method": "awq"}).checkpoint.scheme == "w4a16"  # type: ignore[union-attr]


def _bits(model: Model, op: int) -> list[float]:
    assert model.checkpoint is not None
    rows = program(model, resolve_precision(model.checkpoint.scheme, "bf16"), Plan(1, 1))
    return [float(row["weight_bits"]) for row in rows[rows["op"] == op] for _ in range(int(row["repeat"]))]


@pytest.mark.parametrize(
    ("rules", "narrow"),
    [
        (["lm_head", "model.layers.0.self_attn.kv_a_layernorm", "gate", "e_score_correction_bias"], "all"),
        (["model.layers.*.self_attn"], "feeds"),
        (["re:.*self_attn.*"], "feeds"),
        (["self_attn"], "feeds"),
        ([f"model.layers.{at}.self_attn*" for at in range(4)], "feeds"),
        (["re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "re:.*self_attn.*"], "experts"),
    ],
)
def test_kept_modules_are_matched_in_whole_components(tmp_path: Path, rules: list[str], narrow: str) -> None:
    model = _model(tmp_path, MOE, FP8 | {"modules_to_not_convert": rules})
    eight = pytest.approx(8, abs=0.3)
    assert _bits(model, OUT) == [eight if narrow == "all" else 16] * 4
    assert _bits(model, EXPERT_UP) == [eight] * 3
    assert _bits(model, GATE_UP) == [16 if narrow == "experts" else eight] * 4


def test_a_layer_may_be_kept_alone(tmp_path: Path) -> None:
    kept = {"quant_algo": "FP8", "quant_method": "modelopt", "exclude_modules": ["model.layers.0*", "model.layers.3.*"]}
    assert _bits(_model(tmp_path, LLAMA, kept), QKV) == [16, pytest.approx(8, abs=0.1), pytest.approx(8, abs=0.1), 16]
    kept["exclude_modules"] = ["model.layers.1.mlp.down_proj_scale", "layers.1.mlp.gate_projection"]
    assert {round(bits) for bits in _bits(_model(tmp_path, LLAMA, kept), GATE_UP)} == {8}


def test_groups_give_parts_schemes_of_their_own(tmp_path: Path) -> None:
    attention = _group(8, "float", 8) | {"targets": ["re:.*self_attn.*"]}
    rest = _group(4, "float", 4, group_size=16) | {"targets": ["re:.*mlp.*"]}
    model = _model(tmp_path, LLAMA, _packed(attention, rest))
    assert model.checkpoint is not None and model.checkpoint.scheme == "nvfp4"
    assert {round(bits) for bits in _bits(model, QKV)} == {8} and set(_bits(model, GATE_UP)) == {4.5}
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {
        f"model.layers.{at}.{part}": {"quant_algo": algorithm} for at in range(4)
        for part, algorithm in (("mlp.gate_proj", "NVFP4"), ("mlp.down_proj", "NVFP4"), ("self_attn.q_proj", "FP8"))
    }}  # fmt: skip
    model = _model(tmp_path, LLAMA, mixed)
    assert {round(bits) for bits in _bits(model, QKV)} == {8} and set(_bits(model, GATE_UP)) == {4.5}
    assert set(_bits(model, OUT)) == {16}


def test_groups_of_scales_change_the_bits(tmp_path: Path) -> None:
    model = _model(tmp_path, LLAMA, {"quant_method": "gptq", "bits": 4, "group_size": 32})
    assert model.checkpoint is not None and dict(model.checkpoint.bits) == {"element.int4": 4.5}
    where = deploy("h200", str(tmp_path / "config.json"), uncalibrated=True)
    assert where.precision.weight_bits == 4.5


def test_published_checkpoints(tmp_path: Path) -> None:
    def told(name: str) -> tuple[str, str | None]:
        checkpoint = load_model(str(CONFIGS / f"{name}.json")).checkpoint
        assert checkpoint is not None
        return checkpoint.scheme, checkpoint.kv

    assert told("glm-5.3-nvfp4")[0] == told("kimi-k2.5-nvfp4")[0] == "nvfp4"
    assert told("deepseek-v4-pro")[0] == "mxfp4"
    assert told("minimax-m2.5")[0] == told("deepseek-v3.2")[0] == "fp8"
    kimi = load_model(str(CONFIGS / "kimi-k2.5-nvfp4.json"))
    stored = weight_bytes(program(kimi, resolve_precision("nvfp4", "bf16"), Plan(1, 1)), kimi, Plan(1, 1))
    assert 560e9 < stored < 640e9
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        assert load_model(name).checkpoint.scheme == "mxfp4"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("quantisation", "key", "message"),
    [
        (4, "quantization_config", "must be an object"),
        ({"quant_method": "magic"}, "quantization_config.quant_method", "unknown: 'magic'; known: fp8"),
        ({"quant_method": 3}, "quantization_config.quant_method", "must be a text"),
        ({"quant_method": "awq", "bits": 3}, "quantization_config.bits", "3 bits a weight are not predicted"),
        (FP8 | {"modules_to_not_convert": "x"}, "quantization_config.modules_to_not_convert", "list of names"),
        (_packed(_group(5, "int", None)), "quantization_config.config_groups.group_0", "weights of 5 bits"),
        ({"config_groups": [1]}, "quantization_config.config_groups", "an object of groups"),
        ({"quantized_layers": {"a": 1}}, "quantization_config.quantized_layers", "unknown: 'None'"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, quantisation: Any, key: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _model(tmp_path, LLAMA, quantisation)
    assert caught.value.key == key and "\n" not in str(caught.value)


@given(st.lists(st.text(alphabet="re:.*+()[]{}|?a^$\\", max_size=12), max_size=4))
@settings(max_examples=60, deadline=2000)
def test_any_rule_is_matched_or_passed_over_in_time(rules: list[str]) -> None:
    NameRules(rules).mean("model.layers.10.self_attn.q_proj")


def test_a_model_runs_as_it_is_stored_unless_told_otherwise(tmp_path: Path) -> None:
    scheme = {"num_bits": 8, "type": "float"}
    path = str(tmp_path / "config.json")
    _model(tmp_path, LLAMA, _packed(_group(8, "float", 8), kv_cache_scheme=scheme))
    own = deploy("h100", path, uncalibrated=True).precision
    assert (own.name, own.weights, own.activations, own.kv) == ("fp8", "fp8", "fp8", "fp8")
    told = deploy("h100", path, precision="bf16", kv_precision="bf16", uncalibrated=True).precision
    assert (told.name, told.kv) == ("bf16", "bf16")
    with pytest.warns(UserWarning, match="stored as fp8"):
        warn_of_other_format(path, "w4a16")
    old = deploy("rtx-a6000", path, uncalibrated=True).precision
    assert (old.weights, old.activations) == ("fp8", "bf16")


def test_nvfp4_is_multiplied_where_the_chip_can_and_widened_elsewhere(tmp_path: Path) -> None:
    tables = {name: build_machine(load_system(name))[0]["multiplies"] for name in ("rtx-pro-6000", "h200", "rngd")}
    four, bf16 = dtypes.code("nvfp4"), dtypes.code("bf16")
    assert tables["rtx-pro-6000"][four, four] == four
    assert tables["h200"][four, four] == tables["h200"][four, bf16] == bf16
    assert tables["rngd"][four, bf16] == dtypes.code("fp8")
    _model(tmp_path, LLAMA, _packed(_group(4, "float", 4, group_size=16)))
    activations = {name: deploy(name, str(tmp_path / "config.json"), uncalibrated=True).precision.activations
                   for name in tables}  # fmt: skip
    assert activations == {"rtx-pro-6000": "nvfp4", "h200": "bf16", "rngd": "bf16"}


@pytest.mark.parametrize(
    ("label", "scheme", "kv"),
    [
        ("FP8 (W8A8 dynamic, KV16)", "fp8", "bf16"),
        ("NVFP4A16", "nvfp4a16", None),
        ("nvidia/DeepSeek-V3.1-NVFP4", "nvfp4", None),
        ("W4A16 g128", "w4a16", None),
        ("AWQ", "w4a16", None),
        ("MXFP4", "mxfp4", None),
        ("INT8 (W8A8), KV8", "int8", "fp8"),
        ("quantized.w8a8", "int8", None),
        ("int8_wo", "w8a16", None),
        ("Meta-Llama-3-8B", None, None),
        ("BF16 KV FP8", "bf16", "fp8"),
    ],
)
def test_labels_of_labs(label: str, scheme: str | None, kv: str | None) -> None:
    assert (scheme_of_label(label), kv_of_label(label)) == (scheme, kv)
    assert told_precision(label) == scheme
    assert kv is None or told_kv(label) == kv
