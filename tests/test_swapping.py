"""Several models on the same cards: who stays, and what a swap takes, each in its closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_support import mistake, tell

from npusim.hardware.data import data_root
from npusim.hardware.kv_tier import load_kv_tier
from npusim.mapping.deployment import deploy

BIG, SMALL, TINY = "qwen3-32b", "llama-3.1-8b", "qwen2.5-0.5b"
FP8 = ("--precision", "fp8")


def _swap(*words: str | Path) -> dict[str, Any]:
    return tell("swap", *words, "--json").json


def _of(answer: dict[str, Any], model: str, tier: str) -> dict[str, Any]:
    (found,) = (each for each in answer["models"] if each["model"] == model)
    (swap,) = (each for each in found["swaps"] if each["from"] == tier)
    return swap


@pytest.mark.parametrize("cards", [1, 2])
def test_loading_takes_latency_and_bytes_over_the_narrower_link(cards: int) -> None:
    answer = _swap("rngd", SMALL, TINY, "--cards", str(cards))
    deployment = deploy("rngd", SMALL, cards=cards, tokens=1)
    own = deployment.system.card.host_link.rate_bytes_per_s * cards
    whole = deployment.require_fit(1).weight_bytes * deployment.plan.chips
    for name, tiers in (("host-memory", cards), ("nvme", 1)):
        tier, _ = load_kv_tier(name)
        rate = min(own, tier.link.rate_bytes_per_s * tiers)
        swap = _of(answer, SMALL, name)
        assert swap["bytes_per_s"] == rate
        assert swap["load_s"]["value"] == pytest.approx(tier.link.latency.value + whole / rate, rel=1e-12)
    assert _of(answer, SMALL, "host-memory")["bound"] == deployment.system.card.host_link.name
    assert _of(answer, SMALL, "nvme")["bound"] == "PCIe Gen5 x4 SSD"


def test_the_ends_are_those_of_the_ranges(tmp_path: Path) -> None:
    """A tier far slower than the card's link: only its own numbers are in the time."""
    tree = yaml.safe_load((data_root("arch_configs") / "tiers" / "nvme.yaml").read_text())
    sure = {"kind": "assumed", "source": "this test"}
    tree["name"] = "mine"
    tree["link"] |= {
        "bandwidth": {"value": "2 GB/s", "low": "1 GB/s", "high": "4 GB/s", **sure},
        "efficiency": {"value": 0.5, "low": 0.25, "high": 1.0, **sure},
        "latency": {"value": "1 s", "low": "0.5 s", "high": "2 s", **sure},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    answer = _swap("rngd", TINY, "--from", tmp_path / "mine.yaml")
    whole = answer["models"][0]["weight_bytes"]
    load_s = _of(answer, TINY, "mine")["load_s"]
    assert load_s["value"] == pytest.approx(1.0 + whole / 1e9)
    assert load_s["low"] == pytest.approx(0.5 + whole / 4e9)
    assert load_s["high"] == pytest.approx(2.0 + whole / 0.25e9)


def test_at_the_rate_told_half_of_the_time_goes_to_swaps() -> None:
    for ready in ((), ("--ready-time", "7.5")):
        answer = _swap("rngd", SMALL, BIG, *FP8, *ready)
        for swap in (each for model in answer["models"] for each in model["swaps"]):
            for end, other in (("value", "value"), ("low", "high"), ("high", "low")):
                share = swap["swaps_per_hour_at_half"][end] / 3600.0 * swap["ttft_added_s"][other]
                assert share == pytest.approx(0.5, rel=1e-12)
                added = swap["ttft_added_s"][end] - swap["load_s"][end]
                assert added == pytest.approx(7.5 if ready else 0.0, abs=1e-12)
            assert swap["ttft_added_is_least"] == (not ready)
        assert answer["ready_s"] == (7.5 if ready else None)


def test_the_first_models_stay_as_far_as_they_have_room() -> None:
    answer = _swap("rngd", SMALL, BIG, TINY, *FP8)
    assert [each["resident"] for each in answer["models"]] == [True, True, True] and answer["all_resident"]
    weights = [each["weight_bytes_per_chip"] for each in answer["models"]]
    kv = deploy("rngd", SMALL, precision="fp8", tokens=1).require_fit(1).kv_bytes_per_token
    assert answer["free_bytes_per_chip"] < answer["usable_bytes_per_chip"] - sum(weights) - kv
    tight = _swap("rngd", SMALL, BIG, TINY, *FP8, "--kv-tokens", "20000")
    assert [each["resident"] for each in tight["models"]] == [True, False, True] and not tight["all_resident"]
    other = _swap("rngd", BIG, SMALL, TINY, *FP8, "--kv-tokens", "20000")
    assert [each["resident"] for each in other["models"]] == [True, False, True]


def test_a_tier_without_room_for_all_says_so() -> None:
    for size, room in (("4GiB", False), ("400GiB", True)):
        answer = _swap("rngd", SMALL, TINY, "--from", f"host-memory={size}")
        assert _of(answer, TINY, "host-memory")["has_room_for_all"] is room
    assert "has no room for the weights of all" in tell("swap", "rngd", SMALL, "--from", "nvme=1GiB").out


def test_more_cards_load_from_their_own_memory_in_less_time() -> None:
    one, two = (_swap("rngd", BIG, *FP8, "--cards", cards) for cards in ("1", "2"))
    latency = load_kv_tier("host-memory")[0].link.latency.value
    times = [_of(each, BIG, "host-memory")["load_s"]["value"] - latency for each in (one, two)]
    weights = [each["models"][0]["weight_bytes"] for each in (one, two)]
    assert times[0] / times[1] == pytest.approx(2.0 * weights[0] / weights[1])


def test_what_is_shown_is_what_is_told() -> None:
    shown = tell("swap", "rngd", SMALL, TINY).out
    assert "unknown, and left out" in shown and "host-memory" in shown and "0 s, as told" not in shown
    assert "20 s, as told" in tell("swap", "rngd", TINY, "--ready-time", "20").out


def test_mistakes_are_a_line() -> None:
    assert "each once" in mistake("swap", "rngd", TINY, TINY)
    assert "did you mean" in mistake("swap", "rngd", "qwen2.5-0.5", TINY)
    assert "does not fit" in mistake("swap", "rngd", "llama-3.1-405b", TINY)
    assert "tape" in mistake("swap", "rngd", TINY, "--from", "tape")
    assert "--from" in mistake("swap", "rngd", TINY, "--from", "nvme=lots")
    assert "--cards" in mistake("swap", "rngd", TINY, "llama-3.3-70b", "--cards", "auto")
    assert "--ready-time" in mistake("swap", "rngd", TINY, "--ready-time", "-1")
