"""Traces: every format is read row by row, what is broken is one line, and what is read is served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_support import mistake, tell
from hypothesis import given
from hypothesis import strategies as st

from npusim.errors import UserError
from npusim.inputs import recording
from npusim.mapping.deployment import deploy
from npusim.serving.load import trace_load
from npusim.serving.metrics import measure
from npusim.serving.scheduler.tree import tree_of, tree_of_blocks
from npusim.serving.simulate import serve_as_process, serve_compiled, simulate
from npusim.workload.arrivals import Timed
from npusim.workload.prompts import BlockPrompts
from npusim.workload.traces.read import read_trace

MODEL = "llama-3.1-8b"
AIPERF = {
    "metadata": {"request_start_ns": 1_700_000_000_500_000_000, "benchmark_phase": "profiling"},
    "metrics": {"input_sequence_length": {"value": 9, "unit": "tokens"}, "output_sequence_length": {"value": 3}},
    "error": None,
}
VLLM = {"input_lens": [5, 6], "output_lens": [2, 0], "start_times": [3.5, 3.0], "request_rate": "inf"}
FILES = {
    "azure2023.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
    "2023-11-16 18:15:50.9951690,396,109\n",
    "azure2024.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n"
    "2024-05-10 00:00:01.017335+00:00,2399,6\n",
    "burst.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,"
    "Conversation log\n45,GPT-4,1087,0,1087,API log\n45,ChatGPT,417,276,693,Conversation log\n",
    "mooncake.jsonl": '{"timestamp": 0, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]}\n'
    '{"timestamp": 3052, "input_length": 520, "output_length": 26, "hash_ids": [46, 2353]}\n',
    "bailian.jsonl": '{"chat_id": 1, "parent_chat_id": -1, "timestamp": 1.5, "input_length": 20, "output_length": 5, '
    '"hash_ids": [8, 9]}\n',
    "pairs.csv": "isl,osl\n12,3\n40,7\n",
    "pairs.jsonl": '{"prompt_tokens": 12, "completion_tokens": 3}\n',
    "vllm.json": json.dumps(VLLM) + "\n",
    "aiperf.jsonl": json.dumps(AIPERF) + "\n" + json.dumps(AIPERF | {"error": {"code": 500}}) + "\n",
}
READ = {
    "azure2023.csv": ([[374, 44], [396, 109]], [0.0, 4.314579], {}),
    "azure2024.csv": ([[2162, 5], [2399, 6]], [0.0, 1.007405], {}),
    "burst.csv": ([[472, 18], [417, 276]], [0.0, 40.0], {"no output token": 1}),
    "mooncake.jsonl": ([[600, 52], [520, 26]], [0.0, 3.052], {}),
    "bailian.jsonl": ([[20, 5]], [0.0], {}),
    "pairs.csv": ([[12, 3], [40, 7]], None, {}),
    "pairs.jsonl": ([[12, 3]], None, {}),
    "vllm.json": ([[5, 2]], [0.0], {"no output token": 1}),
    "aiperf.jsonl": ([[9, 3]], [0.0], {"no output token": 1}),
}


def _write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_read(name: str, tmp_path: Path) -> None:
    with recording() as read:
        trace = read_trace(_write(tmp_path, name, "\ufeff" + FILES[name]))
    tokens, times, skipped = READ[name]
    assert trace.tokens.tolist() == tokens and dict(trace.skipped) == skipped
    assert (trace.times_s is None) == (times is None)
    if trace.times_s is not None:
        assert trace.times_s == pytest.approx(times, abs=2e-6)
    assert [file.path.name for file in read.files] == [name]


def test_the_whole_file_is_recorded_where_a_part_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "pairs.csv", FILES["pairs.csv"])
    digests = []
    for most in (1, 2):
        with recording() as read:
            assert len(read_trace(path, most)) == most
        digests.append(read.files[0].sha256)
    assert digests[0] == digests[1] and read.files[0].size == path.stat().st_size


AZURE, MOONCAKE = FILES["azure2023.csv"], FILES["mooncake.jsonl"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no trace that is known; known: AIPerf JSONL; Azure"),
        ("a,b\n1,2\n", "is no trace that is known"),
        (AZURE.replace("396", "-396"), ":3: ContextTokens: '-396' is no number of tokens"),
        (AZURE.replace("396", "nan"), ":3: ContextTokens: 'nan' is no number"),
        (AZURE.replace("396", "3.5"), ":3: ContextTokens"),
        (AZURE.replace("396", "9" * 30), ":3: ContextTokens"),
        (AZURE.replace("396", "99999999999"), "more than a request has"),
        (AZURE.replace("2023-11-16 18:15:50", "yesterday"), ":3: TIMESTAMP: 'yesterday.9951690' is no time"),
        (AZURE.replace(",109", ""), ":3: has 2 fields instead of 3"),
        (AZURE + '2023-11-16 18:15:50,"5\n', "cut or broken"),
        (AZURE.encode().replace(b"396", b"\xff"), ":3: is not UTF-8 text"),
        (AZURE.encode().replace(b"396", b"3\x006"), "NUL"),
        (AZURE.encode("utf-16"), "UTF-16"),
        ("isl,osl\n5,0\n", "holds no request that can be served, 1 that cannot be"),
        ("isl,osl\n", "holds no request"),
        ("isl,osl,isl\n1,2,3\n", "stands twice"),
        (MOONCAKE.replace("[46, 47]", "[46]"), ":1: hash_ids: 1 blocks do not hold 600 tokens; blocks of 512 give 2"),
        (MOONCAKE.replace("[46, 47]", "[46, -1]"), ":1: hash_ids: must be a list of whole numbers"),
        (MOONCAKE.replace(', "hash_ids": [46, 2353]', ""), "some prompts have blocks and others none"),
        (MOONCAKE.replace("3052", "1e99"), ":2: timestamp"),
        (MOONCAKE.replace('"output_length": 26, ', ""), ":2: output_length: is missing"),
        (MOONCAKE.replace("3052", "true"), ":2: timestamp"),
        (MOONCAKE + "[1]\n", ":3: is no JSON object"),
        (MOONCAKE + "{\n", ":3"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested deeper"),
        ('[{"id": 1, "conversations": []}]', "no tokenizer"),
        (json.dumps(VLLM | {"output_lens": [1]}), "output_lens: has 1 entries beside 2"),
        (json.dumps(VLLM | {"output_lens": "x"}), "output_lens: is no list"),
        (json.dumps(AIPERF | {"metrics": 3}), "metrics: must be an object"),
    ],
)
def test_what_is_broken_is_one_line(text: str | bytes, told: str, tmp_path: Path) -> None:
    path = _write(tmp_path, "lab.trace", text)
    with pytest.raises(UserError) as caught:
        read_trace(path)
    line = str(caught.value)
    assert told in line and "lab.trace" in line and "\n" not in line


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="give a file"):
            read_trace(path)


def test_rows_out_of_order_keep_their_blocks(tmp_path: Path) -> None:
    lines = MOONCAKE.splitlines()
    trace = read_trace(_write(tmp_path, "t.jsonl", "\n".join(reversed(lines)) + "\n"))
    again = read_trace(_write(tmp_path, "u.jsonl", MOONCAKE))
    assert trace.tokens.tolist() == again.tokens.tolist() and trace.blocks.tolist() == again.blocks.tolist()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_tree_of_blocks_is_that_of_its_segments(drawn: list[tuple[int, int, int]]) -> None:
    tokens = np.array([tokens for tokens, _, _ in drawn])
    count = -(-tokens // 8)
    blocks = np.concatenate(
        [np.full(n, own) + (np.arange(n) > 2) * other for n, (_, own, other) in zip(count, drawn, strict=True)]
    )
    prompts = BlockPrompts(tokens, blocks, np.cumsum(count) - count, 8)
    quick, plain = tree_of_blocks(prompts), tree_of(prompts)
    assert len(quick.parent) == len(plain.parent) and quick.count.tolist() == plain.count.tolist()
    pairs = {(int(a), int(b)) for a, b in zip(quick.paths, plain.paths, strict=True)}
    assert len(pairs) == len(plain.parent) == len({a for a, _ in pairs})
    assert all(quick.end[a] == plain.end[b] for a, b in pairs)


def test_both_servers_serve_a_trace_alike_and_a_cache_finds_its_blocks(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [
        {"timestamp": 40 * n, "input_length": 1100, "output_length": own, "hash_ids": [own % 3, 10 + n % 2, n + 90]}
        for n, own in enumerate(generator.integers(2, 20, 40).tolist())
    ]  # fmt: skip
    trace = read_trace(_write(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows))))
    deployment, load = deploy("rngd", MODEL), trace_load(trace)
    compiled, process = (simulate(deployment, load, 0, serve=each) for each in (serve_compiled, serve_as_process))
    assert compiled.kv.hit_tokens == process.kv.hit_tokens > 20_000
    assert measure(compiled).figures == measure(process).figures
    assert isinstance(load.arrival, Timed) and load.arrival.sent_s[-1] == pytest.approx(1.56)
    half = simulate(deployment, trace_load(trace, speed=0.5), 0)
    assert measure(half)["ttft_ms_mean"] < measure(compiled)["ttft_ms_mean"]


def test_run_serves_a_trace(tmp_path: Path) -> None:
    path = _write(tmp_path, "azure.csv", AZURE)
    run = ("run", "rngd", MODEL, "--trace", str(path))
    answer = tell(*run, "--trace-speed", "2", "--json").json
    assert answer["requests"] == 2 and answer["trace"]["requests"] == 2 and answer["trace"]["speed"] == 2
    assert answer["conditions"]["told"]["lengths"] == "trace"
    assert tell(*run, "--requests", "1", "--arrival", "closed", "--concurrency", "1", "--json").json["requests"] == 1
    assert "leave it out" in mistake(*run, "--isl", "5")
    assert "--isl" in mistake("run", "rngd", MODEL, "--osl", "5", "--concurrency", "1")
    assert "--arrival" in mistake("run", "rngd", MODEL, "--trace", str(_write(tmp_path, "p.csv", FILES["pairs.csv"])))
