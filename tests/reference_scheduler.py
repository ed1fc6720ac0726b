"""A slow, plain server to compare with: one step at a time, lists of jobs, no events and no prefix cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from npusim.engine.analytic import AnalyticEngine
from npusim.engine.stepcost import StepCost
from npusim.workload.step import mixed


@dataclass
class Job:
    """A request; times in seconds of simulated time; held: KV tokens while it decodes."""

    isl: int
    osl: int
    due_s: float = 0.0
    sent_s: float = -1.0
    generated: int = 0
    computed: int = 0
    held: int = 0
    preemptions: int = 0
    token_s: list[float] = field(default_factory=list)

    @property
    def to_prefill(self) -> int:
        return self.isl + self.generated


@dataclass(frozen=True)
class Rules:
    """policy: exclusive, alternate or hybrid; users: most in flight, None for an open stream.

    request_s: seconds between the sending of a request and its place in the queue.
    """

    policy: str
    users: int | None
    slots: int
    max_sequences: int
    kv_tokens: int
    block: int
    watermark: float
    largest_chunk: int | None
    token_budget: int
    request_s: float
    seed: int


class ReferenceServer:
    """Serves `jobs` in their order; under an open stream `job.due_s` says when each arrives."""

    def __init__(self, engine: AnalyticEngine, rules: Rules, jobs: Sequence[Job]) -> None:
        self.engine, self.rules, self.jobs = engine, rules, jobs
        self.now = 0.0
        self.energy_j = 0.0
        self.busy_s = 0.0
        self.counter = 0
        self.unsent = deque(jobs)
        self.in_flight = 0
        self.travelling: deque[Job] = deque()
        self.waiting: deque[Job] = deque()
        self.prefilling: list[Job] = []
        self.live: list[Job] = []

    def run(self) -> None:
        turn = {"exclusive": self.exclusive, "alternate": self.alternate, "hybrid": self.hybrid}[self.rules.policy]
        self.arrive()
        while self.travelling or self.waiting or self.prefilling or self.live:
            if not (self.waiting or self.prefilling or self.live):
                self.now = self.queued_s(self.travelling[0])
                self.arrive()
            turn()

    def queued_s(self, job: Job) -> float:
        return job.sent_s + self.rules.request_s

    def arrive(self) -> None:
        users = self.rules.users
        while self.unsent and (users is None or self.in_flight < users):
            job = self.unsent.popleft()
            job.sent_s = self.now if users is not None else job.due_s
            self.in_flight += 1
            self.travelling.append(job)
        while self.travelling and self.queued_s(self.travelling[0]) <= self.now:
            self.waiting.append(self.travelling.popleft())

    def exclusive(self) -> None:
        while self.admissible():
            self.prefill(self.waiting.popleft())
        if self.live:
            self.decode_once()

    def alternate(self) -> None:
        if self.admissible():
            self.prefill(self.waiting.popleft())
        if self.live:
            self.decode_once()

    def hybrid(self) -> None:
        left = self.rules.token_budget - len(self.live)
        chunks: list[tuple[Job, int]] = []
        for job in self.prefilling:
            if left > 0:
                chunks.append((job, min(left, job.to_prefill - job.computed)))
                left -= chunks[-1][1]
        while left > 0 and self.admissible():
            job = self.waiting.popleft()
            job.computed = 0
            self.prefilling.append(job)
            chunks.append((job, min(left, job.to_prefill)))
            left -= chunks[-1][1]
        if chunks:
            self.mixed_once(chunks)
        elif self.live:
            self.decode_once()

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.rules.block)

    def used(self) -> int:
        return sum(self.blocks(job.held) for job in self.live) + sum(
            self.blocks(job.to_prefill) for job in self.prefilling
        )

    def admissible(self) -> bool:
        sequences = len(self.live) + len(self.prefilling)
        if not self.waiting or sequences >= self.rules.max_sequences:
            return False
        after = self.used() + self.blocks(self.waiting[0].to_prefill)
        capacity = self.rules.kv_tokens // self.rules.block
        return after <= capacity and (sequences == 0 or after <= self.rules.watermark * capacity)

    def prefill(self, job: Job) -> None:
        done = 0
        self.prefilling.append(job)
        while done < job.to_prefill:
            query = min(self.rules.largest_chunk or job.to_prefill, job.to_prefill - done)
            done += query
            self.spend(self.engine.prefill_chunk(query, done))
            self.arrive()
        self.prefilling.remove(job)
        self.first_token(job)

    def spend(self, cost: StepCost) -> None:
        cost = self.engine.waiting(cost, self.engine.stall_s(self.rules.seed, self.counter))
        self.counter += 1
        self.now += cost.time_s
        self.busy_s += cost.time_s
        self.energy_j += cost.energy_j

    def first_token(self, job: Job) -> None:
        job.held = job.to_prefill
        self.emit(job)
        if job.generated < job.osl:
            self.live.append(job)
        else:
            self.answered()

    def emit(self, job: Job) -> None:
        job.generated += 1
        job.token_s.append(self.now)

    def answered(self) -> None:
        self.in_flight -= 1
        self.arrive()

    def must_preempt(self) -> bool:
        """Where the next token of some live job has no block, the last one leaves for the front of the queue."""
        growth = sum(self.blocks(job.held + 1) - self.blocks(job.held) for job in self.live)
        if self.used() + growth <= self.rules.kv_tokens // self.rules.block:
            return False
        job = self.live.pop()
        job.preemptions += 1
        self.waiting.appendleft(job)
        return True

    def decode_once(self) -> None:
        if self.must_preempt():
            return
        held = np.array([job.held for job in self.live], np.int64)
        run = self.engine.decode_run(held, self.rules.slots, 1, float("inf"), self.rules.seed, self.counter)
        self.counter += 1
        self.now += float(run.times_s[0])
        self.busy_s += float(run.times_s[0])
        self.energy_j += float(run.energies_j[0])
        self.arrive()
        self.next_tokens()

    def next_tokens(self) -> None:
        decoded, self.live = self.live, []
        for job in decoded:
            job.held += 1
            self.emit(job)
            if job.generated < job.osl:
                self.live.append(job)
        for job in decoded:
            if job.generated == job.osl:
                self.answered()

    def mixed_once(self, chunks: list[tuple[Job, int]]) -> None:
        if self.must_preempt():
            return
        contexts = np.array([job.held + 1 for job in self.live], np.int64)
        sizes = [(tokens, job.computed + tokens) for job, tokens in chunks]
        step = mixed(contexts, sizes, self.rules.slots)
        self.spend(self.engine.with_host(self.engine.cost(step), len(self.live) + len(chunks)))
        self.arrive()
        self.next_tokens()
        for job, tokens in chunks:
            job.computed += tokens
            if job.computed == job.to_prefill:
                self.prefilling.remove(job)
                self.first_token(job)
