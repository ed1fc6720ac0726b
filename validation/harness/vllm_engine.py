"""A served model on vLLM with random weights and random prompts: closed loops and Poisson arrivals.

usage: python vllm_engine.py OUT.csv MODEL 1024:256:1,1024:256:16 [--dtype fp8] [--kv fp8] [--cards 2] ...

A load is prompt tokens:output tokens:users, or prompt tokens:output tokens:0.75x, which is Poisson arrivals at 0.75 of
the most requests a second that a closed loop of the same lengths reached before it. `--draft` is the name of a smaller
model below, or `ngram`; `--drafted` the tokens drafted a step; `--acceptance` the chance that the first one, two, ...
of them are all accepted, which the engine's own synthetic acceptance draws from. `--shared 0.5` makes half of every
prompt the same, with prefix caching on. `--apart` prefills on the first GPU and decodes on the second, and moves the KV
cache between them by NIXL. Needs vLLM 0.24.0 and nvidia-ml-py, `--apart` nixl too.
"""

import argparse
import asyncio
import csv
import functools
import itertools
import json
import os
import random
import statistics
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
    "llama-3.3-70b": sized(LLAMA, 8192, 28672, 80, num_attention_heads=64),
    "llama-3.2-1b": sized(LLAMA, 2048, 8192, 16, head_dim=64),
    "qwen3-32b": sized(QWEN | DENSE, 5120, 25600, 64, num_attention_heads=64),
    "qwen3-30b-a3b": sized(QWEN | EXPERTS, 2048, 6144, 48, num_attention_heads=32),
}
LONGEST = 40960


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("loads")
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "fp8"))
    parser.add_argument("--kv", default="bf16", choices=("bf16", "fp8"))
    parser.add_argument("--cards", type=int, default=1)
    parser.add_argument("--budget", type=int, default=8192)
    parser.add_argument("--longest", type=int, default=LONGEST)
    parser.add_argument("--shared", type=float, default=0.0)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--draft", default="")
    parser.add_argument("--drafted", type=int, default=0)
    parser.add_argument("--acceptance", default="")
    return parser.parse_args()


class Power:
    """Power of all boards in sum while a run lasts: sampled ten times a second, and by the energy counters."""

    def __init__(self, boards):
        pynvml.nvmlInit()
        self.boards = [pynvml.nvmlDeviceGetHandleByIndex(board) for board in boards]

    def joules(self):
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000 for board in self.boards)

    def start(self):
        self.watts, self.clocks, self.running, self.began = [], [], True, time.perf_counter()
        self.before = self.joules()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self):
        while self.running:
            self.watts.append([pynvml.nvmlDeviceGetPowerUsage(board) / 1000 for board in self.boards])
            self.clocks.append(pynvml.nvmlDeviceGetClockInfo(self.boards[0], pynvml.NVML_CLOCK_SM))
            time.sleep(0.1)

    def stop(self):
        self.running = False
        self.thread.join()
        seconds = time.perf_counter() - self.began
        joules = self.joules() - self.before
        cut = len(self.watts) // 5
        middle = self.watts[cut : len(self.watts) - cut] or self.watts
        boards = [statistics.mean(board) for board in zip(*middle, strict=True)]
        row = {
            "power_w": sum(boards),
            "power_energy_w": joules / seconds,
            "sm_clock_mhz": statistics.median(self.clocks),
        }
        return row | {"power_w_each": " ".join(f"{watts:.1f}" for watts in boards)}


@functools.cache
def folder(model):
    """One folder a model: engines that hand over KV caches compare its path."""
    path = Path(tempfile.mkdtemp())
    (path / "config.json").write_text(json.dumps(MODELS[model]))
    return str(path)


def speculation(told):
    how = (
        {"method": "ngram_gpu", "prompt_lookup_max": 3, "prompt_lookup_min": 1}
        if told.draft == "ngram"
        else {"method": "draft_model", "model": folder(told.draft)}
    )
    rates = [float(rate) for rate in told.acceptance.split(",")]
    synthetic = {"rejection_sample_method": "synthetic", "synthetic_acceptance_rates": rates}
    return how | synthetic | {"num_speculative_tokens": told.drafted}


def start_engine(told, **other):
    options = {"model": folder(told.model), "load_format": "dummy", "skip_tokenizer_init": True, "seed": 0}
    options |= {"max_model_len": told.longest, "enable_prefix_caching": told.shared > 0}
    options |= {"max_num_batched_tokens": told.budget, "max_num_seqs": 256, "tensor_parallel_size": told.cards}
    if told.dtype == "fp8":
        options["quantization"] = "fp8"
    if told.kv == "fp8":
        options["kv_cache_dtype"] = "fp8"
    if told.draft:
        options["speculative_config"] = speculation(told)
    options |= other
    return AsyncLLM.from_engine_args(AsyncEngineArgs(gpu_memory_utilization=0.9, disable_log_stats=True, **options))


def start_apart(told):
    """Two engines, a GPU each, that hand over the KV cache of a prompt."""
    engines = []
    for card in range(2):
        os.environ["CUDA_VISIBLE_DEVICES"] = str(card)
        os.environ["VLLM_NIXL_SIDE_CHANNEL_PORT"] = str(5600 + 10 * card)
        transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
        engines.append(start_engine(told, kv_transfer_config=transfer))
    return engines


class Client:
    """Sends random prompts and notes when the tokens of each request came."""

    def __init__(self, engines, told):
        self.engines, self.vocabulary, self.shared = engines, MODELS[told.model]["vocab_size"], told.shared
        self.random, self.sent, self.prefilled = random.Random(1), 0, []
        self.prefix = self.tokens(told.longest) if told.shared else []

    def tokens(self, count):
        return [self.random.randrange(3, self.vocabulary) for _ in range(count)]

    async def request(self, isl, osl):
        self.sent += 1
        same = int(isl * self.shared)
        prompt = {"prompt_token_ids": self.prefix[:same] + self.tokens(isl - same)}
        began, stamps, tokens = time.perf_counter(), [], 0
        moved = await self.prefill(prompt, f"r{self.sent}") if len(self.engines) == 2 else None
        async for output in self.engines[-1].generate(prompt, sampling(osl, moved), f"r{self.sent}"):
            if count := len(output.outputs[0].token_ids):
                stamps.append(time.perf_counter())
                tokens += count
        return began, stamps, tokens

    async def prefill(self, prompt, name):
        """What the decoding engine needs to fetch the prompt's KV cache from the prefilling one."""
        began = time.perf_counter()
        async for output in self.engines[0].generate(prompt, sampling(1, {"do_remote_decode": True}), name):
            if output.finished:
                self.prefilled.append(1e3 * (time.perf_counter() - began))
                return output.kv_transfer_params
        raise RuntimeError(f"{name}: the prefilling engine gave no token")

    async def closed_loop(self, isl, osl, users, requests):
        left, done = iter(range(requests)), []

        async def user():
            for _ in left:
                done.append(await self.request(isl, osl))

        await asyncio.gather(*[user() for _ in range(users)])
        return done

    async def poisson(self, isl, osl, rate):
        arrivals, tasks = random.Random(7), []
        due = time.perf_counter()
        for _ in range(max(24, int(rate * 14))):
            due += arrivals.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self.request(isl, osl)))
        return await asyncio.gather(*tasks)

    async def warm_up(self, experts):
        await self.closed_loop(256, 16, 32, 32)
        if experts:  # every batch size once: the kernels of experts are compiled at first use
            for isl, users in itertools.product((128, 1024, 4096), (1, 2, 4, 8, 16, 32, 64, 128, 256)):
                if isl * users <= 300_000:
                    await self.closed_loop(isl, 6, users, users)


def sampling(tokens, moved=None):
    other = {"extra_args": {"kv_transfer_params": moved}} if moved else {}
    return SamplingParams(
        max_tokens=tokens, min_tokens=tokens, ignore_eos=True, temperature=0.0, detokenize=False,
        output_kind=RequestOutputKind.DELTA, **other,
    )  # fmt: skip


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


def conditions(told):
    row = {"model": told.model, "dtype": told.dtype, "kv_dtype": told.kv, "tp": told.cards}
    row |= {"engine": f"vllm {__version__}", "token_budget": told.budget, "max_num_seqs": 256}
    row |= {"prefix_shared": told.shared, "apart": int(told.apart)}
    return row | {"draft": told.draft, "drafted": told.drafted, "acceptance": told.acceptance.replace(",", " ")}


def rounds_of(users, isl, alone_s):
    """Requests a user sends: enough for some seconds, and few where a round is long."""
    if users >= 64:
        return 2 if users * isl > 120_000 else 3
    return max(3, min(8, int(4 / alone_s)))


async def measure(client, power, load, best):
    """One row: a load's own columns and its figures; `best` keeps the most requests a second by length."""
    isl, osl, users = load.split(":")
    lengths, row = (int(isl), int(osl)), {"arrival": "closed", "rate_per_s": "", "isl": isl, "osl": osl}
    if users.endswith("x"):
        rate = float(users[:-1]) * best[lengths]
        row |= {"arrival": "poisson", "rate_per_s": round(rate, 4), "concurrency": ""}
        run = client.poisson(*lengths, rate)
    else:
        began = time.perf_counter()
        await client.request(*lengths)
        alone = time.perf_counter() - began
        rounds = rounds_of(int(users), lengths[0], alone)
        row["concurrency"] = users
        run = client.closed_loop(*lengths, int(users), int(users) * rounds)
    client.prefilled.clear()
    power.start()
    began = time.perf_counter()
    done = await run
    seconds = time.perf_counter() - began
    best[lengths] = max(best.get(lengths, 0.0), len(done) / seconds)
    measured = figures(done, lengths[0], seconds) | power.stop()
    if client.prefilled:
        measured["prefill_ms_mean"] = statistics.mean(client.prefilled)
    return row | {name: value if isinstance(value, str) else round(value, 3) for name, value in measured.items()}


async def main(told):
    engines = start_apart(told) if told.apart else [start_engine(told)]
    try:
        await measure_all(told, Client(engines, told))
    finally:
        for engine in engines:
            engine.shutdown()


async def measure_all(told, client):
    best, rows = {}, []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7").split(",")
    power = Power([0, 1] if told.apart else [int(card) for card in visible[: told.cards]])
    await client.request(256, 16)
    await client.warm_up("a3b" in told.model)
    for load in told.loads.split(","):
        rows.append(conditions(told) | await measure(client, power, load, best))
        with told.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
