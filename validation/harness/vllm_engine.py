"""A served model on vLLM with random weights and random prompts: closed loops, with or without drafted tokens.

usage: python vllm_engine.py OUT.csv MODEL 1024:256:1,1024:256:16 [DRAFT K RATES]

A load is prompt tokens:output tokens:users. DRAFT is the name of a smaller model below, or `ngram`; K the tokens
drafted a step; RATES the chance that the first one, two, ... of them are all accepted, which the engine's own synthetic
acceptance draws from. Needs vLLM 0.24.0 and nvidia-ml-py; uses one GPU.
"""

import asyncio
import csv
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import pynvml
from vllm import SamplingParams, __version__
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

BASE = {
    "max_position_embeddings": 65536,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_bias": False,
    "num_key_value_heads": 8,
}
LLAMA = BASE | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "rope_theta": 500000.0,
    "mlp_bias": False,
    "num_attention_heads": 32,
}
QWEN = BASE | {"vocab_size": 151936, "rope_theta": 1000000.0, "head_dim": 128}
DENSE = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
EXPERTS = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "num_key_value_heads": 4,
}


def sized(family, hidden, intermediate, layers, **other):
    return family | {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers} | other


MODELS = {
    "llama-3.1-8b": sized(LLAMA, 4096, 14336, 32),
    "llama-3.2-1b": sized(LLAMA, 2048, 8192, 16, head_dim=64),
    "qwen3-32b": sized(QWEN | DENSE, 5120, 25600, 64, num_attention_heads=64),
    "qwen3-30b-a3b": sized(QWEN | EXPERTS, 2048, 6144, 48, num_attention_heads=32),
}
LONGEST = 40960


class Power:
    """Board power while a run lasts: sampled ten times a second, and by the energy counter."""

    def __init__(self):
        pynvml.nvmlInit()
        self.board = pynvml.nvmlDeviceGetHandleByIndex(0)

    def start(self):
        self.watts, self.clocks, self.running, self.began = [], [], True, time.perf_counter()
        self.joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(self.board) / 1000
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self):
        while self.running:
            self.watts.append(pynvml.nvmlDeviceGetPowerUsage(self.board) / 1000)
            self.clocks.append(pynvml.nvmlDeviceGetClockInfo(self.board, pynvml.NVML_CLOCK_SM))
            time.sleep(0.1)

    def stop(self):
        self.running = False
        self.thread.join()
        seconds = time.perf_counter() - self.began
        joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(self.board) / 1000 - self.joules
        cut = len(self.watts) // 5
        middle = self.watts[cut : len(self.watts) - cut] or self.watts
        return {
            "power_w": statistics.mean(middle),
            "power_energy_w": joules / seconds,
            "sm_clock_mhz": statistics.median(self.clocks),
        }


def folder(model):
    path = Path(tempfile.mkdtemp())
    (path / "config.json").write_text(json.dumps(MODELS[model]))
    return str(path)


def start_engine(model, draft, drafted, rates):
    options = {"model": folder(model), "load_format": "dummy", "skip_tokenizer_init": True, "max_model_len": LONGEST}
    options |= {"enable_prefix_caching": False, "max_num_batched_tokens": 8192, "max_num_seqs": 256, "seed": 0}
    if draft:
        how = (
            {"method": "ngram_gpu", "prompt_lookup_max": 3, "prompt_lookup_min": 1}
            if draft == "ngram"
            else {"method": "draft_model", "model": folder(draft)}
        )
        synthetic = {"rejection_sample_method": "synthetic", "synthetic_acceptance_rates": rates}
        options["speculative_config"] = how | synthetic | {"num_speculative_tokens": drafted}
    return AsyncLLM.from_engine_args(AsyncEngineArgs(gpu_memory_utilization=0.9, disable_log_stats=True, **options))


class Client:
    """Sends random prompts and notes when the tokens of each request came."""

    def __init__(self, engine, vocabulary):
        self.engine, self.vocabulary, self.random, self.sent = engine, vocabulary, random.Random(1), 0

    async def request(self, isl, osl):
        self.sent += 1
        prompt = {"prompt_token_ids": [self.random.randrange(3, self.vocabulary) for _ in range(isl)]}
        params = SamplingParams(
            max_tokens=osl, min_tokens=osl, ignore_eos=True, temperature=0.0, detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )  # fmt: skip
        began, stamps, tokens = time.perf_counter(), [], 0
        async for output in self.engine.generate(prompt, params, f"r{self.sent}"):
            if count := len(output.outputs[0].token_ids):
                stamps.append(time.perf_counter())
                tokens += count
        return began, stamps, tokens

    async def closed_loop(self, isl, osl, users, requests):
        left, done = iter(range(requests)), []

        async def user():
            for _ in left:
                done.append(await self.request(isl, osl))

        await asyncio.gather(*[user() for _ in range(users)])
        return done

    async def warm_up(self, experts):
        await self.closed_loop(256, 16, 32, 32)
        if experts:  # every batch size once: the kernels of experts are compiled at first use
            for isl, users in itertools.product((128, 1024, 8192, 32000), (1, 2, 4, 8, 16, 32)):
                if isl * users <= 140_000:
                    await self.closed_loop(isl, 6, users, users)


def quantile(values, fraction):
    return sorted(values)[min(len(values) - 1, int(fraction * len(values)))]


def figures(done, isl, seconds):
    ttft = [1e3 * (stamps[0] - began) for began, stamps, _ in done]
    tpot = [1e3 * (stamps[-1] - stamps[0]) / max(1, tokens - 1) for _, stamps, tokens in done]
    itl = [1e3 * (after - before) for _, stamps, _ in done for before, after in itertools.pairwise(stamps)]
    total = sum(tokens for *_, tokens in done)
    row = {"requests": len(done), "duration_s": seconds}
    row["tokens_per_step"] = (total - len(done)) / len(itl)
    for name, values, fractions in (("ttft", ttft, (50, 90, 99)), ("tpot", tpot, (50, 99)), ("itl", itl, (50, 99))):
        row[f"{name}_ms_mean"] = statistics.mean(values)
        row |= {f"{name}_ms_p{percent}": quantile(values, percent / 100) for percent in fractions}
    row["e2e_ms_mean"] = statistics.mean(1e3 * (stamps[-1] - began) for began, stamps, _ in done)
    row["output_tokens_per_s"] = total / seconds
    row["total_tokens_per_s"] = (total + len(done) * isl) / seconds
    return row


async def main(path, model, loads, draft="", drafted="0", rates=""):
    acceptance = [float(rate) for rate in rates.split(",")] if draft else []
    client = Client(start_engine(model, draft, int(drafted), acceptance), MODELS[model]["vocab_size"])
    conditions = {"model": model, "dtype": "bf16", "kv_dtype": "bf16", "tp": 1, "engine": f"vllm {__version__}"}
    conditions |= {"token_budget": 8192, "max_num_seqs": 256, "arrival": "closed"}
    conditions |= {"draft": draft, "drafted": drafted, "acceptance": rates.replace(",", " ")}
    power, rows = Power(), []
    await client.warm_up("a3b" in model)
    for isl, osl, users in (map(int, load.split(":")) for load in loads.split(",")):
        began = time.perf_counter()
        await client.request(isl, osl)
        alone = time.perf_counter() - began
        rounds = 2 if users >= 64 or isl > 4096 else max(3, min(8, int(4 / alone)))
        power.start()
        began = time.perf_counter()
        done = await client.closed_loop(isl, osl, users, users * rounds)
        measured = figures(done, isl, time.perf_counter() - began) | power.stop()
        load = {"isl": isl, "osl": osl, "concurrency": users}
        rows.append(conditions | load | {name: round(value, 3) for name, value in measured.items()})
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
