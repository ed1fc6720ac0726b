"""The table of model families: a row says what a `model_type` implies that its config.json does not say.

Sources are the configuration and model classes of Hugging Face Transformers 5.24 and the models of vLLM 0.24; shapes
are tested against published counts of parameters.
"""

from __future__ import annotations

from typing import Any

from npusim.workload.attention_windows import (
    chunked_windows,
    flagged_windows,
    late_windows,
    one_window,
    optional_pattern,
    patterned_windows,
    told_windows,
)
from npusim.workload.block_configs import block_feeds, block_mixers
from npusim.workload.checkpoint import EXPERTS, SHARED
from npusim.workload.family import EACH_HEAD, PER_HEAD, WHOLE, Family
from npusim.workload.hybrid_mixers import (
    flagged_layers,
    grouped_layers,
    listed_layers,
    mixed_layers,
    no_layers,
    numbered_layers,
    periodic_layers,
    role_mixers,
)
from npusim.workload.recurrent_keys import delta_attention, gated_delta, lightning, mamba1, mamba2, short_convolution
from npusim.workload.sparse_keys import (
    block_sparse_mixers,
    compressed_mixers,
    gated_indexed_mixers,
    indexed_mixers,
)
from npusim.workload.special_feeds import (
    adjusted_feeds,
    gemma4_feeds,
    grok_feeds,
    llama4_feeds,
    longcat_feeds,
    no_feeds,
    openelm_feeds,
    periodic_feeds,
    role_feeds,
    shared_feeds,
)
from npusim.workload.special_mixers import (
    falcon_mixers,
    gemma4_mixers,
    hunyuan_mixers,
    laguna_mixers,
    mimo_mixers,
    step_mixers,
)

KEYS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "d_model", "n_embd"),
    "num_hidden_layers": ("num_hidden_layers", "num_layers", "n_layers", "n_layer"),
    "num_attention_heads": ("num_attention_heads", "n_heads", "n_head"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_attention_groups"),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
    "max_position_embeddings": (
        "max_position_embeddings", "model_max_length", "max_seq_len", "n_positions", "seq_length",
        "max_sequence_length",
    ),
    "sliding_window": ("sliding_window", "sliding_window_size"),
    "sliding_window_pattern": ("sliding_window_pattern", "_sliding_window_pattern"),
    "num_experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": (
        "num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k",
        "top_k_experts",
    ),
    "moe_intermediate_size": ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size"),
    "num_shared_experts": (
        "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert", "n_shared_expert",
    ),
    "gated_shared_width": ("shared_expert_intermediate_size",),
    "shared_width": (
        "moe_shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim", "share_expert_dims",
    ),
    "first_k_dense_replace": ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"),
    "decoder_sparse_step": ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_frequency"),
    "head_dim": ("head_dim", "attention_head_dim"),
    "moe_layer_freq": ("moe_layer_freq", "moe_layer_interval"),
    "moe_layers": ("moe_layers", "moe_layers_enum"),
    "scan_chunk": ("scan_chunk", "chunk_size", "mamba_chunk_size", "block_size"),
    "mamba_num_heads": ("mamba_num_heads", "mamba_n_heads"),
    "mamba_head_dim": ("mamba_head_dim", "mamba_d_head", "mamba_headdim"),
    "mamba_n_groups": ("n_groups", "mamba_n_groups", "mamba_ngroups"),
    "ssm_state_size": ("ssm_state_size", "mamba_d_state", "state_size"),
    "mamba_conv_kernel": ("conv_kernel", "mamba_d_conv"),
    "mamba_expand": ("expand", "mamba_expand"),
    "mamba_dt_rank": ("mamba_dt_rank", "time_step_rank"),
    "attention_layers": ("attn_layer_indices", "linear_attn_config.full_attn_layers", "full_attn_idxs"),
    "state_layers": ("linear_attn_config.kda_layers",),
    "linear_num_heads": ("linear_num_heads", "linear_attn_config.num_heads"),
    "linear_head_dim": ("linear_head_dim", "linear_attn_config.head_dim"),
    "linear_conv_kernel_dim": (
        "linear_conv_kernel_dim", "linear_attn_config.short_conv_kernel_size", "short_conv_kernel_size",
    ),
    "use_full_rank_gate": ("use_full_rank_gate", "linear_attn_config.use_full_rank_gate"),
    "moe_latent_size": ("moe_latent_size", "routed_expert_hidden_size"),
    "num_nextn_predict_layers": (
        "num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp",
    ),
}  # fmt: skip
"""Spellings of a key in the families, by its name here; the first that a file has counts. Others have one spelling."""

# Words that several rows share.
_LLAMA: dict[str, Any] = {"qkv_bias": "attention_bias", "output_bias": "attention_bias", "mlp_bias": "mlp_bias"}
_DEEPSEEK: dict[str, Any] = {"routed": True, "router_bias": True, "latent": True}
_TIED: dict[str, Any] = {"tie_word_embeddings": True}
_BIASED: dict[str, Any] = {"qkv_bias": True, "output_bias": True, "mlp_bias": True, "norm_vectors": 2}
_CHUNK: dict[str, Any] = {"scan_chunk": 64}
_UNBOUNDED: dict[str, Any] = {"max_position_embeddings": 1048576}
_BLOCK: dict[str, Any] = {"scan_chunk": 2048}
_GEMMA: dict[str, Any] = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, **_TIED}

_OF_TEXT = {
    name: (f"{key}.0", key)
    for name, key in (
        ("num_experts", "moe_num_experts"), ("moe_intermediate_size", "moe_intermediate_size"),
        ("first_k_dense_replace", "moe_layer_start_index"), ("moe_layer_end_index", "moe_layer_end_index"),
    )
}  # fmt: skip
"""The first of two entries, those of the experts for text, ahead of those for images (ERNIE 4.5 VL)."""

FAMILIES: dict[str, Family] = {
    "llama": Family(
        ("LlamaForCausalLM", "LLaMAForCausalLM", "YiForCausalLM", "AquilaForCausalLM", "AquilaModel", "CwmForCausalLM",
         "BaichuanForCausalLM", "BaiChuanForCausalLM", "SolarForCausalLM", "OrionForCausalLM", "TeleChat3ForCausalLM"),
        windows=optional_pattern, **_LLAMA,
    ),
    "exaone": Family(("ExaoneForCausalLM",)),
    "exaone4": Family(
        ("Exaone4ForCausalLM", "Exaone4_5_ForConditionalGeneration"),
        windows=told_windows, qk_norm=PER_HEAD, grouped=True,
    ),
    "qwen3": Family(
        ("Qwen3ForCausalLM", "Qwen3VLForConditionalGeneration"),
        windows=late_windows, qk_norm=PER_HEAD, grouped=True, **_LLAMA,
    ),
    "qwen2": Family(
        ("Qwen2ForCausalLM", "Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration",
         "MiMoForCausalLM"),
        windows=late_windows, qkv_bias=True, grouped=True,
    ),
    "mistral": Family(
        ("MistralForCausalLM", "MistralModel", "Ministral3ForCausalLM", "MinistralForCausalLM",
         "Mistral3ForConditionalGeneration"),
        windows=one_window, grouped=True,
    ),
    "mixtral": Family(("MixtralForCausalLM",), windows=one_window, grouped=True, routed=True),
    "qwen3_moe": Family(
        ("Qwen3MoeForCausalLM", "Qwen3VLMoeForConditionalGeneration", "Qwen3OmniMoeForConditionalGeneration"),
        windows=late_windows, qk_norm=PER_HEAD, grouped=True, routed=True, **_LLAMA,
    ),
    "qwen2_moe": Family(
        ("Qwen2MoeForCausalLM",), windows=late_windows, defaults={"qkv_bias": True}, qkv_bias="qkv_bias", routed=True
    ),
    "gpt_oss": Family(
        ("GptOssForCausalLM",), windows=one_window, qkv_bias="attention_bias", output_bias="attention_bias",
        grouped=True, routed=True, router_bias=True, biased_experts=True, sinks=1,
    ),
    "exaone_moe": Family(
        ("ExaoneMoEForCausalLM", "ExaoneMoeForCausalLM"),
        windows=told_windows, qk_norm=PER_HEAD, grouped=True, routed=True, router_bias=True,
    ),
    "solar_open": Family(
        ("SolarOpenForCausalLM",), grouped=True, routed=True, router_bias=True, qkv_bias="attention_bias"
    ),
    "deepseek_v3": Family(
        ("DeepseekV3ForCausalLM", "DeepseekV2ForCausalLM", "AXK1ForCausalLM", "KimiK25ForConditionalGeneration",
         "KimiVLForConditionalGeneration", "MistralLarge3ForCausalLM"),
        **_DEEPSEEK,
    ),
    "deepseek": Family(("DeepseekForCausalLM",), routed=True),
    "axk1": Family(("AXK1ForCausalLM",), norms=2, further_norms=1, **_DEEPSEEK),
    "longcat_flash": Family(
        ("LongcatFlashForCausalLM", "LongcatCausalLM"), keys={"num_hidden_layers": ("num_layers",)},
        halves=2, feeds=longcat_feeds, **_DEEPSEEK,
    ),
    "gemma": Family(("GemmaForCausalLM",), defaults=_TIED | {"head_dim": 256}, qkv_bias="attention_bias"),
    "gemma2": Family(
        ("Gemma2ForCausalLM",), defaults=_GEMMA | {"sliding_window_pattern": 2}, windows=patterned_windows,
        further_norms=2, qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "gemma3": Family(
        ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), windows=patterned_windows, qk_norm=PER_HEAD,
        defaults=_GEMMA | {"sliding_window_pattern": 6, "sliding_window": 4096, "vocab_size": 262208,
                           "max_position_embeddings": 131072},
        further_norms=2, qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "phi3": Family(("Phi3ForCausalLM", "Phi3SmallForCausalLM", "Phi4MMForCausalLM"), windows=one_window),
    "phi": Family(
        ("PhiForCausalLM",), gated=False, parallel=True, norms=1, head_bias=True, **_BIASED,
    ),
    "phimoe": Family(
        ("PhiMoEForCausalLM", "PhimoeForCausalLM"), windows=one_window, qkv_bias="attention_bias",
        output_bias="attention_bias", norm_vectors=2, head_bias="lm_head_bias", routed=True,
    ),
    "glm": Family(("GlmForCausalLM",), qkv_bias="attention_bias", defaults={"attention_bias": True, "head_dim": 128}),
    "glm4": Family(
        ("Glm4ForCausalLM", "Glm4vForConditionalGeneration"), qkv_bias="attention_bias", further_norms=2,
        defaults={"head_dim": 128},
    ),
    "glm_ocr": Family(("GlmOcrForConditionalGeneration",), qkv_bias="attention_bias", further_norms=2),
    "glm4_moe": Family(
        ("Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"), qkv_bias="attention_bias", qk_norm=PER_HEAD,
        qk_norm_key="use_qk_norm", routed=True, router_bias=True, defaults={"head_dim": 128},
    ),
    "glm4_moe_lite": Family(("Glm4MoeLiteForCausalLM",), **_DEEPSEEK),
    "chatglm": Family(
        ("ChatGLMModel", "ChatGLMForConditionalGeneration", "ChatGLMForCausalLM"),
        keys={"num_key_value_heads": ("multi_query_group_num",), "head_dim": ("kv_channels",),
              "vocab_size": ("padded_vocab_size",)},
        qkv_bias="add_qkv_bias", output_bias="add_bias_linear", mlp_bias="add_bias_linear",
    ),
    "llama4": Family(
        ("Llama4ForCausalLM", "Llama4ForConditionalGeneration"), windows=chunked_windows, feeds=llama4_feeds,
        unused=("intermediate_size_mlp", "no_rope_layers", "no_rope_layer_interval", "interleave_moe_layer_step"),
        defaults={"no_rope_layer_interval": 4}, qkv_bias="attention_bias", output_bias="attention_bias", routed=True,
    ),
    "cohere": Family(
        ("CohereForCausalLM",), parallel=True, norms=1, defaults=_TIED, qk_norm=EACH_HEAD, qk_norm_key="use_qk_norm",
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "cohere2": Family(
        ("Cohere2ForCausalLM", "Cohere2VisionForConditionalGeneration"), parallel=True, norms=1,
        defaults=_TIED | {"sliding_window_pattern": 4}, windows=patterned_windows, qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "olmo": Family(("OlmoForCausalLM",), norm_vectors=0, qkv_bias="attention_bias", output_bias="attention_bias"),
    "olmo2": Family(
        ("Olmo2ForCausalLM",), qk_norm=WHOLE, qkv_bias="attention_bias", output_bias="attention_bias"
    ),
    "olmo3": Family(
        ("Olmo3ForCausalLM",), qk_norm=WHOLE, windows=patterned_windows, qkv_bias="attention_bias",
        output_bias="attention_bias", defaults={"sliding_window_pattern": 4},
    ),
    "olmoe": Family(
        ("OlmoeForCausalLM",), qk_norm=WHOLE, routed=True, qkv_bias="attention_bias", output_bias="attention_bias"
    ),
    "flex_olmo": Family(
        ("FlexOlmoForCausalLM",), qk_norm=WHOLE, routed=True, qkv_bias="attention_bias", output_bias="attention_bias"
    ),
    "granite": Family(("GraniteForCausalLM",), defaults=_TIED, **_LLAMA),
    "granitemoe": Family(
        ("GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"), routed=True, defaults=_TIED,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "starcoder2": Family(
        ("Starcoder2ForCausalLM",), windows=one_window, gated=False, defaults=_TIED | {"use_bias": True},
        qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias", norm_vectors=2,
    ),
    "stablelm": Family(
        ("StableLmForCausalLM", "StableLMEpochForCausalLM"), qkv_bias="use_qkv_bias", norm_vectors=2,
        qk_norm=EACH_HEAD, qk_norm_key="qk_layernorm", parallel="use_parallel_residual",
        shared_norm=True,
    ),
    "internlm2": Family(("InternLM2ForCausalLM",), qkv_bias="bias", output_bias="bias"),
    "internlm3": Family(("InternLM3ForCausalLM",), qkv_bias="qkv_bias", output_bias="bias", mlp_bias="bias"),
    "seed_oss": Family(
        ("SeedOssForCausalLM",), defaults={"attention_bias": True}, qkv_bias="attention_bias",
        output_bias="attention_out_bias", mlp_bias="mlp_bias",
    ),
    "smollm3": Family(
        ("SmolLM3ForCausalLM",), windows=optional_pattern, defaults=_TIED,
        unused=("no_rope_layers", "no_rope_layer_interval"), **_LLAMA
    ),
    "hyperclovax": Family(
        ("HyperCLOVAXForCausalLM", "HCXVisionForCausalLM", "HCXVisionV2ForCausalLM"),
        further_norms="use_post_norm", **_LLAMA,
    ),
    "apertus": Family(
        ("ApertusForCausalLM",), gated=False, qk_norm=PER_HEAD, qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "arcee": Family(("ArceeForCausalLM",), gated=False, **_LLAMA),
    "nemotron": Family(("NemotronForCausalLM",), gated=False, norm_vectors=2, **_LLAMA),
    "ernie4_5": Family(
        ("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"), defaults=_TIED, qkv_bias="use_bias", output_bias="use_bias",
        mlp_bias="use_bias",
    ),
    "ernie4_5_moe": Family(
        ("Ernie4_5_MoeForCausalLM",), defaults=_TIED, qkv_bias="use_bias",
        output_bias="use_bias", routed=True, router_bias=True,
    ),
    "ernie4_5_vl_moe": Family(
        ("Ernie4_5_VLMoeForConditionalGeneration",), defaults=_TIED, qkv_bias="use_bias", output_bias="use_bias",
        routed=True, router_bias=True, keys=_OF_TEXT,
    ),
    "hunyuan_v1_dense": Family(
        ("HunYuanDenseV1ForCausalLM",), qk_norm=PER_HEAD, qkv_bias="attention_bias", output_bias="attention_bias"
    ),
    "hunyuan_v1_moe": Family(
        ("HunYuanMoEV1ForCausalLM",), qk_norm=PER_HEAD, qk_norm_key="use_qk_norm", defaults={"use_qk_norm": True},
        qkv_bias="attention_bias", output_bias="attention_bias", mixers=hunyuan_mixers, routed=True,
    ),
    "hy_v3": Family(("HYV3ForCausalLM",), qk_norm=PER_HEAD, routed=True, router_bias=True),
    "dots1": Family(
        ("Dots1ForCausalLM",), windows=late_windows, qk_norm=PER_HEAD, routed=True, router_bias=True,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "bailing_moe": Family(
        ("BailingMoeForCausalLM",), qkv_bias="use_qkv_bias", output_bias="use_bias", routed=True,
    ),
    "bailing_moe_v2": Family(
        ("BailingMoeV2ForCausalLM",), qkv_bias="use_qkv_bias", output_bias="use_bias", qk_norm=PER_HEAD,
        qk_norm_key="use_qk_norm", defaults={"use_qk_norm": True}, routed=True,
        router_bias="moe_router_enable_expert_bias",
    ),
    "minimax_m2": Family(
        ("MiniMaxM2ForCausalLM",), qk_norm=WHOLE, qk_norm_key="use_qk_norm", defaults={"use_qk_norm": True},
        routed=True, router_bias=True,
    ),
    "mimo_v2_flash": Family(
        ("MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM"), windows=flagged_windows, mixers=mimo_mixers,
        unused=("attention_chunk_size",),
        qkv_bias="attention_bias", routed=True, router_bias=True,
    ),
    "grok-1": Family(("Grok1ForCausalLM", "Grok1ModelForCausalLM"), feeds=grok_feeds, further_norms=2, routed=True),
    "dbrx": Family(
        ("DbrxForCausalLM",), routed=True,
        keys={"num_key_value_heads": ("attn_config.kv_n_heads",), "num_experts": ("ffn_config.moe_num_experts",),
              "num_experts_per_tok": ("ffn_config.moe_top_k",),
              "intermediate_size": ("ffn_config.ffn_hidden_size",)},
    ),
    "arctic": Family(("ArcticForCausalLM",), feeds=grok_feeds, norms=3, routed=True),
    "gpt2": Family(
        ("GPT2LMHeadModel",), gated=False, widening=4, positions="max_position_embeddings", defaults=_TIED, **_BIASED
    ),
    "gpt_bigcode": Family(
        ("GPTBigCodeForCausalLM",), gated=False, widening=4, positions="max_position_embeddings",
        defaults=_TIED | {"multi_query": True}, multi_query="multi_query", **_BIASED,
    ),
    "gptj": Family(
        ("GPTJForCausalLM",), gated=False, widening=4, parallel=True, norms=1, norm_vectors=2, mlp_bias=True,
        head_bias=True,
    ),
    "gpt_neox": Family(
        ("GPTNeoXForCausalLM",), gated=False, defaults={"use_parallel_residual": True, "attention_bias": True},
        parallel="use_parallel_residual", qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias=True,
        norm_vectors=2,
    ),
    "bloom": Family(
        ("BloomForCausalLM",), gated=False, widening=4, embedding_norms=1,
        defaults=_TIED | {"max_position_embeddings": 2048}, **_BIASED,
    ),
    "opt": Family(
        ("OPTForCausalLM",), gated=False, positions="max_position_embeddings", offset=2, defaults=_TIED, **_BIASED
    ),
    "mpt": Family(
        ("MPTForCausalLM", "MptForCausalLM"), gated=False, widening=4,
        keys={"num_key_value_heads": ("attn_config.kv_n_heads",)}, defaults=_TIED, unused=("no_bias",),
    ),
    "falcon": Family(
        ("FalconForCausalLM", "RWForCausalLM"), gated=False, widening=4, mixers=falcon_mixers, norm_vectors=2,
        norms_key="num_ln_in_parallel_attn", shared_norm=True, unused=("num_kv_heads", "multi_query"),
        qkv_bias="bias", output_bias="bias", mlp_bias="bias", parallel="parallel_attn",
        defaults=_TIED | {"max_position_embeddings": 2048, "parallel_attn": True, "multi_query": True},
    ),
    "gemma3n": Family(
        ("Gemma3nForCausalLM", "Gemma3nForConditionalGeneration"), windows=patterned_windows, qk_norm=PER_HEAD,
        mixers=gemma4_mixers, feeds=gemma4_feeds, further_norms=2, side=("hidden_size_per_layer_input", "laurel_rank"),
        defaults=_GEMMA | {"num_key_value_heads": 2, "sliding_window_pattern": 5, "sliding_window": 512,
                           "vocab_size_per_layer_input": 262144, "max_position_embeddings": 32768,
                           "altup_num_inputs": 4, "laurel_rank": 64, "hidden_size_per_layer_input": 256},
        unused=("activation_sparsity_pattern", "altup_active_idx", "altup_coef_clip"),
    ),
    "gemma4": Family(
        ("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"), windows=patterned_windows, qk_norm=PER_HEAD,
        mixers=gemma4_mixers, feeds=gemma4_feeds, further_norms=2, side=("hidden_size_per_layer_input",),
        defaults=_GEMMA | {"global_head_dim": 512, "sliding_window_pattern": 6}, routed=True,
        modules={EXPERTS: ("experts.gate_up_proj", "moe.gate_up_proj"), SHARED: ("mlp.gate_proj",)},
        unused=("per_layer_config", "expert_intermediate_size", "num_experts", "vocab_size_per_layer_input"),
    ),
    "qwen3_next": Family(
        ("Qwen3NextForCausalLM", "Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration",
         "Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM"),
        mixers=mixed_layers(gated_delta, listed_layers),
        qk_norm=PER_HEAD, gate="attn_output_gate", routed=True, grouped=True,
        defaults=_CHUNK | {"attn_output_gate": True, "full_attention_interval": 4, "head_dim": 256},
        qkv_bias="attention_bias", output_bias="attention_bias", unused=("full_attention_interval",),
    ),
    "qwen3_5": Family(
        mixers=mixed_layers(gated_delta, listed_layers), qk_norm=PER_HEAD, gate="attn_output_gate", grouped=True,
        defaults=_CHUNK | {"attn_output_gate": True, "full_attention_interval": 4, "head_dim": 256},
        qkv_bias="attention_bias", output_bias="attention_bias", unused=("full_attention_interval",),
    ),
    "olmo_hybrid": Family(
        ("OlmoHybridForCausalLM",), mixers=mixed_layers(gated_delta, listed_layers), qk_norm=WHOLE, defaults=_CHUNK,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "kimi_linear": Family(
        ("KimiLinearForCausalLM", "KimiK3ForConditionalGeneration"),
        mixers=mixed_layers(delta_attention, numbered_layers),
        defaults=_CHUNK, unused=("linear_attn_config", "attn_res_block_size"), **_DEEPSEEK,
    ),
    "bailing_hybrid": Family(
        ("BailingHybridForCausalLM",), mixers=mixed_layers(delta_attention, grouped_layers),
        unused=("layer_group_size",),
        defaults=_CHUNK | {"use_full_rank_gate": True, "mla_head_gate": True}, **_DEEPSEEK,
    ),
    "bailing_moe_linear": Family(
        ("BailingMoeLinearForCausalLM", "BailingMoeLinearV2ForCausalLM"),
        mixers=mixed_layers(lightning, grouped_layers),
        qk_norm=PER_HEAD, defaults=_CHUNK, routed=True, router_bias="moe_router_enable_expert_bias",
        qkv_bias="use_qkv_bias", output_bias="use_bias", unused=("group_norm_size", "linear_silu"),
    ),
    "minimax": Family(
        ("MiniMaxForCausalLM", "MiniMaxText01ForCausalLM", "MiniMaxM1ForCausalLM",
         "MiniMaxVL01ForConditionalGeneration"),
        mixers=mixed_layers(lightning, flagged_layers),
        defaults={"scan_chunk": 256}, routed=True,
        unused=("layernorm_full_attention_alpha", "layernorm_full_attention_beta", "layernorm_linear_attention_alpha",
                "layernorm_linear_attention_beta", "layernorm_mlp_alpha", "layernorm_mlp_beta", "shared_moe_mode",
                "shared_intermediate_size", "postnorm"),
    ),
    "nemotron_h": Family(
        ("NemotronHForCausalLM", "NemotronHPuzzleForCausalLM"), mixers=role_mixers(mamba2), feeds=role_feeds, norms=1,
        defaults={"scan_chunk": 128, "mamba_n_groups": 8}, gated=False, routed=True, router_bias=True,
        qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias",
        unused=("expand", "time_step_rank", "layers_block_type", "sliding_window", "num_hidden_layers"),
    ),
    "bamba": Family(
        ("BambaForCausalLM",), mixers=mixed_layers(mamba2, numbered_layers),
        defaults={"scan_chunk": 256},
        unused=("mamba_expand", "attn_rotary_emb"),
    ),
    "granitemoehybrid": Family(
        ("GraniteMoeHybridForCausalLM",), mixers=mixed_layers(mamba2, listed_layers), feeds=shared_feeds, routed=True,
        may_be_dense=True,
        defaults=_TIED | {"scan_chunk": 256}, unused=("mamba_expand",), qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "falcon_h1": Family(
        ("FalconH1ForCausalLM",), beside=mamba2, defaults={"scan_chunk": 256}, unused=("mamba_expand", "layer_types"),
        qkv_bias="attention_bias", output_bias="attention_bias", mlp_bias="mlp_bias",
    ),
    "jamba": Family(
        ("JambaForCausalLM",), mixers=mixed_layers(mamba1, periodic_layers), feeds=periodic_feeds, routed=True,
        defaults=_BLOCK | {"mamba_inner_norms": True}, unused=("attn_layer_period", "attn_layer_offset"),
    ),
    "mamba": Family(
        ("MambaForCausalLM", "FalconMambaForCausalLM"), mixers=mixed_layers(mamba1, no_layers), feeds=no_feeds, norms=1,
        keys={"mamba_inner": ("intermediate_size", "d_inner")}, defaults=_TIED | _UNBOUNDED | _BLOCK,
        unused=("expand", "num_attention_heads"),
    ),
    "mamba2": Family(
        ("Mamba2ForCausalLM",), mixers=mixed_layers(mamba2, no_layers), feeds=no_feeds, norms=1, defaults=_UNBOUNDED,
        keys={"mamba_num_heads": ("num_heads",), "mamba_head_dim": ("head_dim",)},
        unused=("expand", "time_step_rank"),
    ),
    "lfm2": Family(
        ("Lfm2ForCausalLM", "Lfm2MoeForCausalLM", "Lfm2VlForConditionalGeneration"),
        mixers=mixed_layers(short_convolution, numbered_layers), feeds=adjusted_feeds, qk_norm=PER_HEAD,
        routed=True, may_be_dense=True,
        router_bias="use_expert_bias", defaults=_TIED | {"use_expert_bias": True},
        unused=("conv_L_cache", "full_attn_idxs", "block_ffn_dim_multiplier", "block_multiple_of", "conv_bias",
                "conv_dim", "conv_dim_out", "block_dim",
                "block_ff_dim", "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_swiglu",
                "block_use_xavier_init", "conv_use_xavier_init"),
    ),
    "deepseek_v32": Family(
        ("DeepseekV32ForCausalLM", "GlmMoeDsaForCausalLM"), mixers=indexed_mixers,
        unused=("index_topk_freq", "layer_types", "head_dim"), **_DEEPSEEK,
    ),
    "deepseek_v4": Family(
        ("DeepseekV4ForCausalLM",), mixers=compressed_mixers, streams="hc_mult", routed=True, router_bias=True,
        unused=("hc_sinkhorn_iters", "num_hash_layers", "qk_rope_head_dim", "layer_types", "compress_rates",
                "compress_rope_theta", "mlp_layer_types"),
        keys={"mlp_layer_types": (), "intermediate_size": ("moe_intermediate_size",)},
    ),
    "minimax_m3": Family(
        ("MiniMaxM3ForCausalLM", "MiniMaxM3SparseForCausalLM", "MiniMaxM3SparseForConditionalGeneration"),
        mixers=block_sparse_mixers, qk_norm=PER_HEAD, routed=True, router_bias=True, gate="attention_output_gate",
        keys={"intermediate_size": ("dense_intermediate_size",), "moe_intermediate_size": ("intermediate_size",),
              "sparse_heads": ("sparse_attention_config.sparse_num_index_heads", "index_n_heads"),
              "sparse_dim": ("sparse_attention_config.sparse_index_dim", "index_head_dim"),
              "sparse_blocks": ("sparse_attention_config.sparse_topk_blocks", "index_topk_blocks"),
              "sparse_block": ("sparse_attention_config.sparse_block_size", "index_block_size")},
        unused=("moe_intermediate_size", "sparse_attention_config", "index_local_blocks",
                "dense_intermediate_size"),
    ),
    "step3p5": Family(
        ("Step3p5ForCausalLM", "Step3p7FlashForCausalLM", "Step3p7ForConditionalGeneration"), windows=one_window,
        mixers=step_mixers, qk_norm=PER_HEAD, routed=True, router_bias=True,
        unused=("attention_other_setting", "head_wise_attn_gate", "use_head_wise_attn_gate", "moe_every_n_layer",
                "n_shared_experts", "yarn_only_types", "swiglu_limits_shared", "partial_rotary_factors",
                "num_shared_experts", "first_k_dense_replace", "moe_layers_enum"),
    ),
    "afmoe": Family(
        ("AfmoeForCausalLM",), windows=patterned_windows, qk_norm=PER_HEAD, further_norms=2, routed=True,
        router_bias=True, gate="gated_attention", unused=("global_attn_every_n_layers", "num_expert_groups",
                                                          "num_limited_groups"),
        defaults={"gated_attention": True, "sliding_window_pattern": 4, "head_dim": 128},
    ),
    "laguna": Family(
        ("LagunaForCausalLM",), windows=one_window, mixers=laguna_mixers, qk_norm=PER_HEAD, routed=True,
        router_bias=True, keys={"gated_shared_width": (), "shared_width": ("shared_expert_intermediate_size",)},
        unused=("gating", "num_attention_heads"),
    ),
    "cohere2_moe": Family(
        ("Cohere2MoeForCausalLM",), parallel=True, norms=1, windows=patterned_windows, routed=True,
        defaults=_TIED | {"sliding_window_pattern": 4}, unused=("prefix_dense_sliding_window_pattern",),
        keys={"moe_intermediate_size": ("intermediate_size",),
              "intermediate_size": ("prefix_dense_intermediate_size",)},
    ),
    "nemotron_nas": Family(
        ("DeciLMForCausalLM",), mixers=block_mixers, feeds=block_feeds, qkv_bias="attention_bias",
        output_bias="attention_bias", mlp_bias="mlp_bias",
    ),
    "openelm": Family(
        ("OpenELMForCausalLM",), feeds=openelm_feeds, qk_norm=PER_HEAD, qk_norm_key="normalize_qk_projections",
        keys={"hidden_size": ("model_dim",), "num_hidden_layers": ("num_transformer_layers",),
              "num_attention_heads": ("num_query_heads",), "num_key_value_heads": ("num_kv_heads",),
              "max_position_embeddings": ("max_context_length",),
              "tie_word_embeddings": ("share_input_output_layers",)},
        gated="ffn_with_glu", unused=("num_gqa_groups", "qkv_multipliers"),
    ),
    "minicpm": Family(
        ("MiniCPMForCausalLM",), defaults=_TIED, unused=("sparse_config",), qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "minicpm3": Family(("MiniCPM3ForCausalLM",), latent=True, defaults={"tie_word_embeddings": True, "v_head_dim": 64}),
    "youtu": Family(("YoutuForCausalLM",), latent=True, defaults=_TIED),
    "helium": Family(("HeliumForCausalLM",), qkv_bias="attention_bias"),
    "jais2": Family(("Jais2ForCausalLM",), gated=False, norm_vectors=2, **_LLAMA),
    "mellum": Family(
        ("MellumForCausalLM",), windows=late_windows, qk_norm=PER_HEAD, routed=True, qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "sarvam_moe": Family(
        ("SarvamMoEForCausalLM",), qk_norm=PER_HEAD, qk_norm_key="use_qk_norm", routed=True, router_bias=True,
        qkv_bias="attention_bias",
    ),
    "sarvam_mla": Family(("SarvamMLAForCausalLM",), **_DEEPSEEK),
    "vaetki": Family(
        ("VaetkiForCausalLM", "VAETKIForCausalLM"), windows=optional_pattern, further_norms="use_post_norm", **_DEEPSEEK
    ),
    "motif": Family(("MotifForCausalLM",), unused=("num_noise_heads", "grouped_ratio"), **_LLAMA),
    "mistral4": Family(("Mistral4ForCausalLM",), routed=True, latent=True),
    "axk2": Family(
        ("AXK2ForCausalLM",), mixers=gated_indexed_mixers, side=("gated_norm_rank", "gated_norm_rank"),
        unused=("index_topk_freq", "layer_types", "head_dim"), **_DEEPSEEK,
    ),
    "apertus1p5": Family(
        ("Apertus1p5ForCausalLM", "Apertus1p5ForConditionalGeneration"), gated=False, qk_norm=PER_HEAD,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "aria": Family(("AriaTextForCausalLM", "AriaForConditionalGeneration"), routed=True, **_LLAMA),
    "granite_swa": Family(("GraniteSWAForCausalLM",), windows=one_window, sinks=1, **_LLAMA),
    "granitemoe_swa": Family(
        ("GraniteMoeSWAForCausalLM",), windows=one_window, sinks=1, routed=True, qkv_bias="attention_bias",
        output_bias="attention_bias",
    ),
    "vaultgemma": Family(
        ("VaultGemmaForCausalLM",), defaults=_GEMMA | {"sliding_window_pattern": 2}, windows=patterned_windows,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "nanochat": Family(("NanoChatForCausalLM",), gated=False, norm_vectors=0, qkv_bias="attention_bias"),
    "flint": Family(
        ("FlintForCausalLM",), windows=one_window, qk_norm=PER_HEAD, sinks=1, routed=True, grouped=True,
        keys={"gated_shared_width": (), "shared_width": ("shared_expert_intermediate_size",)},
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "kolibri1": Family(
        ("Kolibri1ForCausalLM",), windows=one_window, qk_norm=PER_HEAD, further_norms=2, routed=True, router_bias=True,
        grouped=True, keys={"gated_shared_width": (), "shared_width": ("shared_expert_intermediate_size",)},
    ),
    "beam": Family(
        ("BeamForCausalLM",), windows=one_window, qk_norm=PER_HEAD, further_norms=2, routed=True, router_bias=True,
        grouped=True, gate=True, qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "muse_glimmer": Family(
        ("MuseGlimmerForConditionalGeneration",), windows=one_window, further_norms=2, gate=True, grouped=True,
        qkv_bias="attention_bias", output_bias="attention_bias",
    ),
    "lara_mini": Family(
        ("LaraMiniForCausalLM",), mixers=mixed_layers(gated_delta, listed_layers), qk_norm=PER_HEAD, routed=True,
        grouped=True, defaults=_CHUNK, qkv_bias="attention_bias", output_bias="attention_bias",
        keys={"gated_shared_width": (), "shared_width": ("shared_expert_intermediate_size",)},
    ),
    "lfm3": Family(
        ("Lfm3ForCausalLM", "Lfm3VlForConditionalGeneration"),
        mixers=mixed_layers(short_convolution, listed_layers), qk_norm=PER_HEAD, further_norms="use_sandwich_norm",
        head_gate="use_attention_gate",
        defaults=_TIED | {"use_sandwich_norm": True, "use_attention_gate": True, "conv_L_cache": 7},
        unused=("conv_L_cache", "conv_bias"), qkv_bias="attention_bias",
    ),
    "molmo2": Family(
        ("Molmo2ForConditionalGeneration",), qk_norm=PER_HEAD, qkv_bias="attention_bias",
        unused=("rope_scaling_layers", "additional_vocab_size"),
    ),
    "step3": Family(
        ("Step3TextForCausalLM", "Step3VLForConditionalGeneration"),
        defaults={"num_key_value_heads": 1}, routed=True,
    ),
}  # fmt: skip
"""Families by `model_type`."""

SAME: dict[str, str] = {
    "yi": "llama", "aquila": "llama", "baichuan": "llama", "cwm": "llama", "solar": "llama", "telechat3": "llama",
    "mimo": "qwen2", "qwen2_vl": "qwen2", "qwen2_5_vl": "qwen2", "qwen2_5_omni": "qwen2", "qwen2_audio": "qwen2",
    "qwen3_vl": "qwen3", "qwen3_vl_moe": "qwen3_moe", "qwen3_omni_moe": "qwen3_moe", "ministral": "mistral",
    "ministral3": "mistral", "mistral3": "mistral", "pixtral": "mistral", "deepseek_v2": "deepseek_v3",
    "kimi_k2": "deepseek_v3", "kimi_k25": "deepseek_v3", "kimi_vl": "deepseek_v3", "deepseek_vl_v2": "deepseek_v3",
    "granitemoeshared": "granitemoe", "exaone4_5": "exaone4", "phi4mm": "phi3", "phi4_multimodal": "phi3",
    "gemma3_text": "gemma3", "glm4v": "glm4", "glm4v_moe": "glm4_moe", "glm46v": "glm4_moe", "llama4_text": "llama4",
    "cohere2_vision": "cohere2", "ernie4_5_moe_vl": "ernie4_5_vl_moe", "hyperclovax_vision": "hyperclovax",
    "hunyuan": "hunyuan_v1_moe", "refinedweb": "falcon", "refinedwebmodel": "falcon", "stablelm_epoch": "stablelm",
    "mimo_v2": "mimo_v2_flash", "internvl_chat": "qwen2", "git": "grok-1", "phi3small": "phi3", "step3_vl": "step3",
    "step3_text": "step3", "kimi_dev": "qwen2", "qwen3_5_moe": "qwen3_next", "kimi_k3": "kimi_linear",
    "minimax_text_01": "minimax", "minimax_m1": "minimax", "minimax_vl_01": "minimax", "falcon_mamba": "mamba",
    "lfm2_moe": "lfm2", "glm_moe_dsa": "deepseek_v32", "deepseek_ref": "deepseek_v4", "minimax_m3_vl": "minimax_m3",
    "step3p7": "step3p5", "step3p5_v": "step3p5", "deci": "nemotron_nas", "deepseek_vl2": "deepseek_v3",
    "ring_linear": "bailing_moe_linear", "kimi_vl_text": "deepseek_v3", "hyperclovax_vision_v2": "hyperclovax",
    "mistral_large_3": "deepseek_v3", "apertus1p5_text": "apertus1p5", "granite4_vision": "granite",
    "granite_docling": "granite", "gemma4_unified": "gemma4", "hunyuan_vl": "hunyuan_v1_dense", "voxtral": "llama",
    "paddleocr_vl": "ernie4_5", "qwen2_5_omni_text": "qwen2",
}  # fmt: skip
"""Further values of `model_type`, each with the layers of another family."""
