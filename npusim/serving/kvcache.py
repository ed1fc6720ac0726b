"""KV memory in blocks: what requests hold, what the prefix cache keeps, what can be evicted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npusim.serving.request import Request
from npusim.workload.prompts import Prompt, Segment


@dataclass(frozen=True)
class LowerTier:
    """capacity: in blocks; token_s, latency_s: to load a token and before the first one; compute_token_s: to compute a
    token in place of loading it, infinite where what is there is always loaded."""

    name: str
    capacity: float
    token_s: float
    latency_s: float
    compute_token_s: float


@dataclass(slots=True, eq=False)
class _Node:
    """A segment of a prompt in the radix tree, with the tokens up to its end and the blocks that it adds.

    there: whether it is in memory; tier: in which lower tier it is, from 1 on; 0 for none.
    """

    segment: Segment | None
    parent: _Node | None
    end: int
    blocks: float
    users: int = 0
    there: bool = True
    tier: int = 0
    children: dict[Segment, _Node] = field(default_factory=dict)


def _has_children(node: _Node) -> bool:
    """Whether a segment behind it is in memory."""
    return any(child.there for child in node.children.values())


class KvCache:
    """Blocks of `block_tokens` tokens in a memory of `capacity_tokens`.

    With `caching`, finished prompts stay as a radix tree over their segments until their blocks are needed (Zheng et
    al., SGLang, arXiv 2312.07104); the least recently used leaf goes first. windows: (tokens, share of a token's bytes)
    of layers that keep no more than so many tokens and one block; a sequence beyond a window is charged that share of a
    block less. tiers: where segments go that are let go, as `scheduler.lower_tiers` has it; keeps_answers: whether
    answers stay as prompts do, for prompts that go on from them. peak: most blocks in use.
    """

    def __init__(
        self,
        capacity_tokens: int,
        block_tokens: int,
        caching: bool,
        windows: tuple[tuple[int, float], ...] = (),
        tiers: tuple[LowerTier, ...] = (),
        keeps_answers: bool = True,
    ) -> None:
        self.block_tokens = block_tokens
        self.windows = [(-(-tokens // block_tokens) + 1, share) for tokens, share in windows]
        self.capacity = capacity_tokens // block_tokens
        self.used: float = 0
        self.peak: float = 0
        self.hit_tokens = 0
        self.asked_tokens = 0
        self.caching, self.keeps_answers = caching, keeps_answers
        self._root = _Node(None, None, 0, 0)
        self._evictable: OrderedDict[int, _Node] = OrderedDict()
        self._evictable_blocks: float = 0
        self.tiers = tiers
        self.tier_hit_tokens = [0] * len(tiers)
        self._lower: list[OrderedDict[int, _Node]] = [OrderedDict() for _ in tiers]
        self._lower_used = [0.0] * len(tiers)

    @property
    def free(self) -> float:
        """Blocks that can be had, by eviction where needed."""
        return self.capacity - self.used

    def blocks_for(self, tokens: int) -> float:
        """Blocks that a sequence of `tokens` is charged."""
        return self.charge(-(-tokens // self.block_tokens))

    def charge(self, blocks: Any) -> Any:
        """Blocks (a number or an array of them) less what windowed layers have let go."""
        for most, share in self.windows:
            blocks = blocks - share * np.maximum(0, blocks - most)
        return blocks

    def cached_tokens(self, request: Request) -> int:
        """Leading tokens of the request that are in the cache: whole blocks, and never its last token."""
        return self._hit(request)[0]

    def need(self, request: Request) -> float:
        """Blocks that admitting the request would take from `free`."""
        shared = sum(node.blocks for node in self._hit(request)[1] if node.users > 0)
        return self.blocks_for(request.to_prefill) - shared

    def admit(self, request: Request) -> None:
        """Take the blocks of the request's prompt beside what the cache already holds; `free` must hold them."""
        request.computed, request.path = self._hit(request)
        if request.preemptions == 0:
            self.asked_tokens += request.to_prefill
            self.hit_tokens += request.computed
        if self.tiers:
            self._load(request)
        for node in request.path:
            self._lock(node)
        request.blocks = self.blocks_for(request.to_prefill) - self._path_blocks(request)
        self._take(request.blocks)

    def grow(self, held: np.ndarray, tokens: int | np.ndarray) -> None:
        """Take the blocks that sequences holding `held` tokens each fill with `tokens` more, all or each."""
        self._take(self.growth(held, tokens))

    def shrink(self, held: np.ndarray, tokens: np.ndarray) -> None:
        """Give back the blocks that `tokens` more than the `held` ones of each sequence filled."""
        self.used -= self.growth(held, tokens)

    def publish(self, request: Request) -> None:
        """Its prompt is computed: other prompts may now share it."""
        if self.caching:
            self._publish(request, request.prompt, request.isl)

    def publish_answer(self, request: Request, held: int) -> None:
        """A request that holds `held` tokens is answered: the prompt that goes on from it may share its answer, too.

        The segment with which its own prompt ends gives way to the one of that prompt that goes on behind it, unless
        another request has it.
        """
        if not (self.caching and self.keeps_answers and request.goes_on):
            return
        common = 0
        for node, segment in zip(request.path, request.goes_on, strict=False):
            if node.segment != segment:
                break
            common += 1
        own = request.path[common:]
        others = [sum(child.there for child in node.children.values()) > (node is not own[-1]) for node in own]
        if any(others) or any(node.users > 1 for node in own):
            return
        for node in reversed(own):
            self._forget(node)
        request.path = request.path[:common]
        request.blocks = self.blocks_for(held) - self._path_blocks(request)
        self._publish(request, request.goes_on, held)

    def _publish(self, request: Request, prompt: Prompt, tokens: int) -> None:
        """Segments of a prompt that end within so many tokens are there from now on, out of the request's blocks."""
        node = request.path[-1] if request.path else self._root
        depth = len(request.path)
        for segment in prompt[depth:]:
            child = node.children.get(segment)
            if child is not None and child.there:
                return
            end = node.end + segment.tokens
            blocks = self.charge(end // self.block_tokens) - self.charge(node.end // self.block_tokens)
            if blocks > request.blocks or end > tokens:
                return
            if child is None:
                child = node.children[segment] = _Node(segment, node, end, blocks)
            if child.tier:
                self._leave_tier(child)
            child.there, child.users = True, 1
            request.blocks -= blocks
            request.path.append(child)
            node = child

    def release(self, request: Request, held: int) -> None:
        """A request that holds `held` tokens leaves: its own blocks are free, its cached prompt may be evicted."""
        self.used -= self.blocks_for(held) - self._path_blocks(request)
        request.blocks = 0
        for node in reversed(request.path):
            node.users -= 1
            if node.users == 0:
                self.used -= node.blocks
                self._evictable_blocks += node.blocks
                self._evictable[id(node)] = node
        request.path = []

    def _path_blocks(self, request: Request) -> float:
        """Whole blocks of its cached prompt; a block that the prompt fills in part is the request's own."""
        return self.charge(request.path[-1].end // self.block_tokens) if request.path else 0

    def _hit(self, request: Request) -> tuple[int, list[_Node]]:
        """`cached_tokens`, and the cached segments that the request uses: all that end within a block of them."""
        if not self.caching:
            return 0, []
        nodes, block = self._match(request), self.block_tokens
        tokens = min(nodes[-1].end // block, (request.to_prefill - 1) // block) * block
        return tokens, [node for node in nodes[1:] if node.end <= tokens + block] if tokens else []

    def _match(self, request: Request) -> list[_Node]:
        nodes = [self._root]
        for segment in request.prompt:
            child = nodes[-1].children.get(segment)
            if child is None or not child.there:
                break
            nodes.append(child)
        return nodes

    def _lock(self, node: _Node) -> None:
        if node.users == 0:
            del self._evictable[id(node)]
            self._evictable_blocks -= node.blocks
            self._take(node.blocks)
        node.users += 1

    def _take(self, blocks: float) -> None:
        self.used += blocks
        self.peak = max(self.peak, self.used)
        while self.used + self._evictable_blocks > self.capacity and self._evictable:
            self._evict()

    def _evict(self) -> None:
        """Drop the least recently used node that has no children (a used child keeps its parents in use)."""
        key = next(key for key, node in self._evictable.items() if not _has_children(node))
        node = self._evictable.pop(key)
        self._evictable_blocks -= node.blocks
        self._forget(node)
        if self.tiers:
            self._put_lower(node, 0)

    def _forget(self, node: _Node) -> None:
        """It is no longer in memory; without lower tiers it is nowhere."""
        node.there, node.users = False, 0
        if not self.tiers and node.parent is not None and node.segment is not None:
            del node.parent.children[node.segment]

    def _put_lower(self, node: _Node, first: int) -> None:
        """Put a segment in the first tier from there on that is large enough; what that lets go goes on."""
        place = next(
            (place for place in range(first, len(self.tiers)) if node.blocks <= self.tiers[place].capacity), None
        )
        if place is None:
            return
        self._lower[place][id(node)], node.tier = node, place + 1
        self._lower_used[place] += node.blocks
        while self._lower_used[place] > self.tiers[place].capacity:
            oldest = next(iter(self._lower[place].values()))
            self._leave_tier(oldest)
            self._put_lower(oldest, place + 1)

    def _leave_tier(self, node: _Node) -> None:
        self._lower_used[node.tier - 1] -= node.blocks
        del self._lower[node.tier - 1][id(node)]
        node.tier = 0

    def _load(self, request: Request) -> None:
        """Take what lower tiers hold behind the cached tokens of a request, where that is quicker than computing it."""
        nodes, block = self._match(request), self.block_tokens
        found, node = [], nodes[-1]
        for segment in request.prompt[len(nodes) - 1 :]:
            child = node.children.get(segment)
            if child is None or not child.tier:
                break
            found.append(child)
            node = child
        tokens = min(node.end // block, (request.to_prefill - 1) // block) * block if found else 0
        if tokens <= request.computed:
            return
        counts = [0] * len(self.tiers)
        for node in found:
            begin = max(node.parent.end if node.parent is not None else 0, request.computed)
            counts[node.tier - 1] += max(0, min(node.end, tokens) - begin)
        seconds = 0.0
        for tier, count in zip(self.tiers, counts, strict=True):
            if count > 0:
                seconds += tier.latency_s + count * tier.token_s
        if seconds >= (tokens - request.computed) * self.tiers[0].compute_token_s:
            return
        if request.preemptions == 0:
            self.tier_hit_tokens = [hits + count for hits, count in zip(self.tier_hit_tokens, counts, strict=True)]
        request.computed, request.load_s = tokens, seconds

    def steps_that_fit(self, held: np.ndarray, limit: int, width: int = 1) -> int:
        """Decode steps (at most `limit`) after which sequences that hold `held` tokens each still have their blocks.

        width: tokens of a sequence that a step computes, as many as may come of it.
        """
        if self.growth(held, limit * width) <= self.free:
            return limit
        low, high = 0, limit
        while high - low > 1:
            middle = (low + high) // 2
            if self.growth(held, middle * width) <= self.free:
                low = middle
            else:
                high = middle
        return low

    def growth(self, held: np.ndarray, tokens: int | np.ndarray) -> float:
        """Blocks that sequences holding `held` tokens each add with `tokens` more, of all or of each."""
        block = self.block_tokens
        if block == 1 and not self.windows:
            return len(held) * tokens if isinstance(tokens, int) else float(tokens.sum())
        grown: float = self.charge(-(-(held + tokens) // block)).sum() - self.charge(-(-held // block)).sum()
        return grown
