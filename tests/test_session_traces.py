"""Traces of sessions: what a described load is written as, reads back as, and is served as; broken rows are a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_support import mistake, tell
from test_generated_loads import HERE, load_text
from test_session_serving import described

from npusim.errors import UserError
from npusim.serving.load import trace_load
from npusim.workload.loads.draw import draw_trace
from npusim.workload.loads.write import trace_text
from npusim.workload.traces.read import read_trace


def test_a_written_trace_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    drawn = draw_trace(described(), HERE, 7)
    (tmp_path / "t.jsonl").write_text(trace_text(drawn))
    read = read_trace(tmp_path / "t.jsonl")
    for name in ("tokens", "times_s", "blocks", "before"):
        assert (getattr(read, name) == getattr(drawn, name)).all(), name
    assert read.block_tokens == 16 and read.seconds == drawn.seconds
    part = read_trace(tmp_path / "t.jsonl", 9)
    assert part.before is not None and len(part) == len(part.before) == 9
    assert trace_load(read, speed=2.0).arrival.wait_s[1:3] == tuple(drawn.times_s[1:3] / 2.0)  # type: ignore[union-attr]


ROW = {
    "chat_id": 0, "parent_chat_id": -1, "timestamp": 0.0, "after_answer_s": None,
    "input_length": 20, "output_length": 5, "turn": 1, "hash_ids": [1, 2],
}  # fmt: skip
NEXT = ROW | {"chat_id": 1, "parent_chat_id": 0, "timestamp": None, "after_answer_s": 2.0, "turn": 2}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([ROW | {"after_answer_s": 1.0}], ":1: after_answer_s: must be null"),
        ([ROW, NEXT | {"timestamp": 1.0}], ":2: timestamp: must be null"),
        ([ROW, NEXT | {"after_answer_s": -1.0}], ":2: after_answer_s: must be 0 or more"),
        ([ROW, NEXT | {"parent_chat_id": 7}], ":2: parent_chat_id: no earlier row has the chat_id 7"),
        ([ROW, NEXT, NEXT | {"chat_id": 2}], ":3: parent_chat_id: another turn follows 0"),
        ([ROW, ROW], ":2: chat_id: 0 is that of an earlier row"),
        ([ROW | {"chat_id": "0"}], ":1: chat_id"),
        ([ROW | {"hash_ids": []}], ":1: hash_ids: is empty"),
        ([ROW | {"hash_ids": [1]}], ":1: hash_ids: 1 blocks do not hold 20 tokens"),
        ([ROW | {"output_length": 0}], ":1: output_length: 0 tokens are no turn"),
        ([ROW | {"timestamp": None}], ":1: timestamp"),
    ],
)
def test_broken_traces_of_sessions_are_a_line(rows: list[dict[str, object]], told: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as caught:
        read_trace(path)
    assert told in str(caught.value) and "t.jsonl" in str(caught.value)


RUN = ("run", "rngd", "qwen2.5-0.5b")


def test_a_load_and_its_trace_serve_alike(tmp_path: Path) -> None:
    mine, trace = tmp_path / "mine.yaml", tmp_path / "t.jsonl"
    mine.write_text(load_text())
    written = json.loads(tell("generate", str(mine), "--out", str(trace), "--seed", "3", "--json").out)
    load, again = (
        json.loads(tell(*RUN, *words, "--seed", "3", "--json").out)
        for words in (("--load", str(mine)), ("--trace", str(trace)))
    )
    for name in ("ttft_ms", "tpot_ms", "e2e_ms", "power_w", "prefix_hit_fraction", "duration_s", "requests"):
        assert load[name] == again[name], name
    assert load["load"]["requests"] == written["requests"] == again["trace"]["requests"] == 6
    assert load["load"]["shared_fraction"] == written["shared_fraction"]
    assert written["files"] == [str(trace)] and load["conditions"]["told"]["lengths"] == "load"


def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("mine\n")
    assert "did you mean 'chat'" in mistake("generate", "chatt")
    assert "was not written by npusim" in mistake("generate", "chat", "--out", str(tmp_path / "t.jsonl"))
    assert (tmp_path / "t.jsonl").read_text() == "mine\n"
    assert "12 of 9 requests leave none" in mistake(*RUN, "--load", "chat", "--requests", "9", "--warm-up", "12")
    for words in ("--isl 5", "--shared-prefix 5", "--arrival burst", "--concurrency 5"):
        assert "a load has its own requests" in mistake(*RUN, "--load", "chat", *words.split())
    assert tell("generate", "chat", "--out", str(tmp_path / "chat.jsonl")).code == 0
    assert "turns of this trace wait" in mistake(
        *RUN, "--trace", str(tmp_path / "chat.jsonl"), "--arrival", "poisson:1"
    )
