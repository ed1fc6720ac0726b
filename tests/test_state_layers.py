"""State-space layers, linear attention, chosen and compressed tokens: rows and memory against closed forms."""

from pathlib import Path

import numpy as np
import pytest

from npusim.bounds.demand import demand_of
from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime_record import build_runtime
from npusim.mapping.deployment import deploy
from npusim.mapping.footprint import Footprint, footprint, weight_bytes
from npusim.mapping.lower import lower, program
from npusim.mapping.optable import ATTENTION, LINEAR, SCAN, SCORE
from npusim.mapping.plan import Plan
from npusim.mapping.specialise import specialise
from npusim.serving.kvcache import KvCache
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.precision import resolve_precision
from npusim.workload.step import Step, decode, prefill

CONFIGS = Path(__file__).parent / "samples" / "configs"
BF16 = resolve_precision("bf16", "bf16")
ONE = Plan(1, 1)
HYBRIDS = [
    "qwen3.5-27b", "qwen3-next-80b-a3b", "kimi-linear-48b-a3b", "nemotron-3-super-nvfp4", "jamba-v0.1",
    "minimax-text-01", "falcon-h1-7b", "granite-4.0-h-small", "lfm2-1.2b", "falcon-mamba-7b", "deepseek-v4-pro",
    "glm-5.3-nvfp4", "gemma-3n-e4b",
]  # fmt: skip


def _model(name: str) -> Model:
    return load_model(str(CONFIGS / f"{name}.json"))


def _rows(model: Model, step: Step, plan: Plan = ONE) -> np.ndarray:
    return lower(model, BF16, plan, step).rows


def _sum(rows: np.ndarray, field: str) -> float:
    return float((rows["repeat"] * rows[field]).sum())


@pytest.mark.parametrize("name", HYBRIDS)
def test_stored_bytes_are_the_parameters_and_a_token_meets_the_active_ones(name: str) -> None:
    """Vectors (gates, norms of heads, convolutions) are in no row: less than 0.2 %."""
    model = _model(name)
    assert weight_bytes(program(model, BF16, ONE), model, ONE) == pytest.approx(2 * model.parameters, rel=2e-3)
    rows = _rows(model, decode([4096]))
    flops = _sum(rows[rows["kind"] == LINEAR], "flops")
    assert flops == pytest.approx(2 * model.active_parameters, rel=2e-3)


def test_a_state_is_read_and_written_once_a_step_whatever_the_context() -> None:
    """Qwen3.5 27B: 48 layers with 48 heads of 128 x 128 elements in 32 bits; three passes over them a token."""
    model = _model("qwen3.5-27b")
    state = 48 * 128 * 128
    assert model.state_bytes == 48 * (4 * state + 2 * 3 * (2 * 16 * 128 + 48 * 128))
    for context in (100, 100_000):
        scan = (rows := _rows(model, decode([context] * 3)))[rows["op"] == SCAN]
        assert _sum(scan, "kv_read_bytes") == _sum(scan, "kv_write_bytes") == 48 * 3 * 4 * state
        assert _sum(scan, "flops") == pytest.approx(48 * 3 * 2 * 3 * state)


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 1000])
def test_a_prompt_passes_its_state_once_a_chunk(tokens: int) -> None:
    """Of a chunk of 64 tokens each meets the others twice (delta rule), 2 (key + value) operations each time."""
    model = _model("qwen3.5-27b")
    scan = (rows := _rows(model, prefill(2, tokens)))[rows["op"] == SCAN]
    within = 2 * 2 * (128 + 128) * (min(64, tokens) - 1)
    assert _sum(scan, "flops") == pytest.approx(48 * 48 * 2 * tokens * (2 * 3 * 128 * 128 + within))
    assert _sum(scan, "kv_write_bytes") == 48 * 2 * -(-tokens // 64) * 4 * 48 * 128 * 128


def test_states_split_over_chips_and_padded_batches_count_whole() -> None:
    model = _model("nemotron-3-super-nvfp4")
    step = decode([512] * 5)
    one, part = (
        _sum((rows := _rows(model, step, plan))[rows["op"] == SCAN], "kv_read_bytes") for plan in (ONE, Plan(4, 4))
    )
    assert 4 * part == one == 40 * 5 * 128 * 64 * 128 * 4
    system = load_system("rngd")
    record = build_runtime(load_runtime(system.runtime, system.chip.unit.kind), system)[0]
    padded = specialise(lower(model, BF16, ONE, step), build_machine(system)[0], record).rows
    scan = padded[padded["op"] == SCAN]
    batch = float(scan["batch"][0])
    assert batch >= 5.0 and (scan["kv_read_bytes"] == batch * 128 * 64 * 128 * 4).all()


def _room(name: str) -> Footprint:
    system = load_system("h200")
    record = build_runtime(load_runtime(system.runtime, system.chip.unit.kind), system)[0]
    return footprint(build_machine(system)[0], record, _model(name), BF16, Plan(8, 8))


def test_a_sequence_holds_its_states_beside_its_tokens() -> None:
    room, model = _room("qwen3-next-80b-a3b"), _model("qwen3-next-80b-a3b")
    scan = 36 * 4 * 32 * 128 * 128
    assert room.state_bytes == pytest.approx(model.state_bytes / 8)
    assert scan < model.state_bytes < 1.1 * scan
    assert room.kv_bytes(1000) == pytest.approx(1000 * room.kv_bytes_per_token + room.state_bytes)
    assert room.kv_bytes(room.kv_tokens) <= room.available_bytes < room.kv_bytes(room.kv_tokens + 1)


@pytest.mark.parametrize("name", ["qwen3-next-80b-a3b", "falcon-mamba-7b", "gemma-3n-e4b"])
@pytest.mark.parametrize("block", [1, 16, 64])
def test_blocks_charge_a_sequence_its_states(name: str, block: int) -> None:
    room = _room(name)
    capacity, windows = room.in_blocks(block)
    cache, bytes_of_block = KvCache(capacity, block, False, windows), room.available_bytes / capacity * block
    for tokens in (40 * block, 3000 * block):
        charged = cache.blocks_for(tokens) * bytes_of_block
        slack = block * sum(share for _, share in windows) * room.available_bytes / capacity
        assert room.kv_bytes(tokens) * (1 - 1e-6) <= charged <= room.kv_bytes(tokens) + slack + bytes_of_block


def test_chosen_tokens_are_read_and_all_are_kept() -> None:
    """GLM-5: 78 layers attend 2048 chosen latents of 576 elements; 78 indexers score all tokens in 8 bits."""
    model = _model("glm-5")
    for context, seen in ((1000, 1000), (100_000, 2048)):
        rows = _rows(model, decode([context]))
        attention = rows[(rows["kind"] == ATTENTION) & (rows["op"] != SCORE)]
        assert _sum(attention, "kv_read_bytes") == 78 * seen * 576 * 2
        assert _sum(rows[rows["op"] == SCORE], "kv_read_bytes") == 78 * context * 128
        assert _sum(rows[rows["op"] == SCORE], "flops") == 78 * context * 2 * 32 * 128
    assert demand_of(model, BF16, 99_000, 1000, False).request_kv_bytes == 78 * 100_000 * (576 * 2 + 128)


def test_layers_that_share_a_choice_score_nothing() -> None:
    layers = _model("glm-5.3-nvfp4").layer_kinds
    scoring = sum(layer.mixer.cached > 576 for layer in layers if layer.mixer is not None)
    scores = (rows := _rows(_model("glm-5.3-nvfp4"), decode([100])))[rows["op"] == SCORE]
    assert 0 < scoring == scores["repeat"].sum() < len(layers)


def test_compressed_tokens_are_kept_once_for_many() -> None:
    """DeepSeek-V4: windows of 128 tokens, then one entry for 4 tokens (the best 1024 of them) or for 128."""
    model = _model("deepseek-v4-pro")
    rates = [layer.mixer.rate for layer in model.layer_kinds if hasattr(layer.mixer, "rate")]
    rows = _rows(model, decode([65_536]))
    attention = rows[(rows["kind"] == ATTENTION) & (rows["op"] != SCORE)]
    entries = len(rates) * 128 + rates.count(4) * 1024 + rates.count(128) * 512
    assert _sum(attention, "kv_read_bytes") == entries * 512 * 2
    kept = rates.count(4) * (512 * 2 + 128) / 4 + rates.count(128) * 512 * 2 / 128
    per_token = footprint_per_token(model)
    assert per_token == pytest.approx(kept + len(rates) * 512 * 2)


def footprint_per_token(model: Model) -> float:
    system = load_system("h200")
    record = build_runtime(load_runtime(system.runtime, system.chip.unit.kind), system)[0]
    return footprint(build_machine(system)[0], record, model, BF16, ONE).kv_bytes_per_token


def test_a_scan_costs_time_and_its_context_none() -> None:
    """A pure state-space model takes as long at any context, and with more users longer by their states."""
    pure = AnalyticEngine(deploy("h200", str(CONFIGS / "falcon-mamba-7b.json"), uncalibrated=True))
    near, far = (pure.cost(decode([context] * 4)).time_s for context in (100, 8000))
    assert near == far > 0.0
    more = pure.cost(decode([100] * 256)).time_s
    states = 252 * 2 * 64 * 8192 * 16 * 4 / 4.8e12
    assert more - near > states
