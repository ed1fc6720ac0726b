"""The KV cache: blocks taken and given back, prompts shared and evicted, nothing lost under any order of calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from npusim.serving.kvcache import KvCache
from npusim.serving.request import Request
from npusim.workload.prompts import Prompt, Segment


def _request(*segments: tuple[int, int], osl: int = 50) -> Request:
    prompt = tuple(Segment(*segment) for segment in segments)
    return Request(0, prompt, sum(segment.tokens for segment in prompt), osl)


def _serve(cache: KvCache, request: Request, held: int | None = None) -> None:
    cache.admit(request)
    cache.publish(request)
    cache.release(request, request.to_prefill if held is None else held)


@pytest.mark.parametrize("tokens, blocks", [(1, 1), (16, 1), (17, 2), (160, 10)])
def test_blocks_round_up(tokens: int, blocks: int) -> None:
    assert KvCache(1000, 16, False).blocks_for(tokens) == blocks


def test_capacity_is_whole_blocks() -> None:
    assert KvCache(1007, 16, False).capacity == 62


@pytest.mark.parametrize("caching", [False, True])
def test_a_request_takes_its_blocks_grows_and_gives_all_back(caching: bool) -> None:
    cache = KvCache(320, 16, caching)
    request = _request((1, 100))
    assert cache.need(request) == 7
    cache.admit(request)
    assert (cache.used, cache.free) == (7, 13)
    cache.publish(request)
    assert cache.used == 7
    cache.grow(np.array([100]), 12)
    assert cache.used == 7
    cache.grow(np.array([112]), 1)
    assert cache.used == 8
    cache.release(request, 113)
    assert (cache.used, cache.free, cache.peak) == (0, 20, 8)


def test_steps_that_fit_are_the_most_that_fit() -> None:
    cache = KvCache(160, 16, False)
    for tokens in (40, 50):
        cache.admit(_request((tokens, tokens)))
    held = np.array([40, 50])
    blocks = [sum(cache.blocks_for(int(tokens) + steps) for tokens in held) for steps in range(200)]
    fitting = [steps for steps in range(200) if blocks[steps] <= cache.capacity]
    assert cache.steps_that_fit(held, 200) == fitting[-1]
    assert cache.steps_that_fit(held, 5) == 5
    assert cache.steps_that_fit(np.array([48, 64]), 0) == 0


def test_without_caching_nothing_is_found_again() -> None:
    cache = KvCache(1600, 16, False)
    _serve(cache, _request((1, 100)))
    again = _request((1, 100))
    assert cache.cached_tokens(again) == 0
    cache.admit(again)
    assert (again.computed, cache.hit_tokens, cache.asked_tokens) == (0, 0, 200)


@pytest.mark.parametrize("block, isl, hit", [(1, 100, 99), (16, 100, 96), (16, 96, 80), (16, 97, 96), (16, 16, 0)])
def test_an_identical_prompt_hits_all_but_its_last_token(block: int, isl: int, hit: int) -> None:
    cache = KvCache(1600, block, True)
    _serve(cache, _request((1, isl)))
    again = _request((1, isl))
    assert cache.cached_tokens(again) == hit
    cache.admit(again)
    assert again.computed == hit


@pytest.mark.parametrize("block, shared, hit", [(1, 33, 33), (16, 33, 32), (16, 15, 0), (16, 16, 16)])
def test_a_shared_prefix_hits_its_whole_blocks(block: int, shared: int, hit: int) -> None:
    cache = KvCache(1600, block, True)
    _serve(cache, _request((1, shared), (2, 60)))
    assert cache.cached_tokens(_request((1, shared), (3, 60))) == hit
    assert cache.cached_tokens(_request((4, shared), (2, 60))) == 0


def test_what_is_not_yet_computed_is_not_shared() -> None:
    cache = KvCache(1600, 1, True)
    first, second = _request((1, 50)), _request((1, 50))
    cache.admit(first)
    assert cache.need(second) == 50
    cache.publish(first)
    assert cache.need(second) == 0


def test_a_shared_prefix_in_use_is_held_once() -> None:
    cache = KvCache(1600, 1, True)
    first, second = _request((1, 80), (2, 20)), _request((1, 80), (3, 20))
    cache.admit(first)
    cache.publish(first)
    assert cache.need(second) == 20
    cache.admit(second)
    cache.publish(second)
    assert cache.used == 120
    cache.release(first, 100)
    assert cache.used == 100
    cache.release(second, 100)
    assert cache.used == 0


def test_the_least_recently_used_prompt_goes_first() -> None:
    cache = KvCache(250, 1, True)
    for name in (1, 2):
        _serve(cache, _request((name, 100)))
    _serve(cache, _request((1, 100)))
    _serve(cache, _request((3, 100)))
    assert [cache.cached_tokens(_request((name, 100))) for name in (1, 2, 3)] == [99, 0, 99]


def test_a_prefix_outlives_the_endings_that_follow_it() -> None:
    cache = KvCache(200, 1, True)
    _serve(cache, _request((1, 80), (2, 50)))
    _serve(cache, _request((3, 100)))
    assert cache.cached_tokens(_request((1, 80), (2, 50))) == 80


def test_a_prompt_in_use_is_never_evicted() -> None:
    cache = KvCache(200, 1, True)
    first = _request((1, 100))
    cache.admit(first)
    cache.publish(first)
    _serve(cache, _request((2, 90)))
    _serve(cache, _request((3, 90)))
    assert cache.cached_tokens(_request((1, 100))) == 99
    assert cache.cached_tokens(_request((2, 90))) == 0


def test_a_pre_empted_request_finds_its_own_prompt() -> None:
    cache = KvCache(400, 1, True)
    request = _request((1, 100))
    cache.admit(request)
    cache.publish(request)
    cache.grow(np.array([100]), 29)
    request.generated = 30
    cache.release(request, 129)
    assert cache.used == 0
    request.computed = 0
    assert cache.cached_tokens(request) == 100
    assert cache.need(request) == 130
    cache.admit(request)
    assert (request.computed, cache.used) == (100, 130)
    cache.release(request, 130)
    assert cache.used == 0


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(1, 64), st.integers(0, 300))
def test_growth_is_what_single_steps_would_take(held: list[int], block: int, steps: int) -> None:
    tokens = np.array(held)
    at_once, singly = (KvCache(10**6, block, False) for _ in range(2))
    at_once.grow(tokens, steps)
    for step in range(steps):
        singly.grow(tokens + step, 1)
    assert at_once.used == singly.used
    assert at_once.used == sum(at_once.blocks_for(count + steps) - at_once.blocks_for(count) for count in held)


class CacheLife(RuleBasedStateMachine):
    """Requests come, grow and leave in any order; segments are few, so that prompts share, and memory is tight."""

    @initialize(block=st.sampled_from([1, 4, 16]), capacity=st.integers(60, 400), caching=st.booleans())
    def start(self, block: int, capacity: int, caching: bool) -> None:
        self.cache = KvCache(capacity, block, caching)
        self.held: dict[int, tuple[Request, int]] = {}
        self.unpublished: list[int] = []
        self.count = 0

    @rule(names=st.lists(st.integers(0, 3), min_size=1, max_size=3), size=st.sampled_from([3, 16, 25, 40]))
    def admit(self, names: list[int], size: int) -> None:
        prompt: Prompt = tuple(Segment(name, size + 7 * name) for name in names)
        request = Request(self.count, prompt, sum(segment.tokens for segment in prompt), 50)
        need = self.cache.need(request)
        assert 0 <= need <= self.cache.blocks_for(request.isl)
        if need > self.cache.free:
            return
        used = self.cache.used
        self.cache.admit(request)
        assert self.cache.used == used + need
        assert 0 <= request.computed < request.isl
        assert request.computed % self.cache.block_tokens == 0
        self.held[self.count] = (request, request.isl)
        self.unpublished.append(self.count)
        self.count += 1

    @precondition(lambda self: self.unpublished)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.unpublished))
        self.unpublished.remove(key)
        used = self.cache.used
        self.cache.publish(self.held[key][0])
        assert self.cache.used == used

    @precondition(lambda self: self.held)
    @rule(wanted=st.integers(1, 40))
    def grow(self, wanted: int) -> None:
        tokens = np.array([held for _, held in self.held.values()])
        steps = self.cache.steps_that_fit(tokens, wanted)
        assert 0 <= steps <= wanted
        self.cache.grow(tokens, steps)
        self.held = {key: (request, held + steps) for key, (request, held) in self.held.items()}

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        request, held = self.held.pop(key)
        if key in self.unpublished:
            self.unpublished.remove(key)
        self.cache.release(request, held)

    @invariant()
    def blocks_are_within_the_memory(self) -> None:
        assert 0 <= self.cache.used <= self.cache.capacity
        assert self.cache.used <= self.cache.peak <= self.cache.capacity
        assert self.cache._evictable_blocks >= 0
        assert self.cache.used + self.cache._evictable_blocks <= self.cache.capacity
        private = sum(self.cache.blocks_for(held) for _, held in self.held.values())
        assert self.cache.used <= private

    def teardown(self) -> None:
        for request, held in getattr(self, "held", {}).values():
            self.cache.release(request, held)
        if hasattr(self, "cache"):
            assert self.cache.used == 0
            assert self.cache.free == self.cache.capacity


TestCacheLife = CacheLife.TestCase
TestCacheLife.settings = settings(max_examples=60, stateful_step_count=40, derandomize=True, deadline=None)
