"""The analytic engine: closed-form costs of every operator, composed along each segment's critical path."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from npusim import dtypes
from npusim.engine.host import host_time_of, stall_times_of
from npusim.engine.run import Workspace, cost_sequences, decode_run, make_workspace, mixed_run
from npusim.engine.stepcost import StepCost, combine, from_record, interpolated
from npusim.errors import UserError
from npusim.hardware.power import waiting_w
from npusim.kernels.power import ENERGY_PARTS
from npusim.mapping.artifacts import Loaded, loaded, smallest, steps_within
from npusim.mapping.deployment import Deployment
from npusim.mapping.lower import program
from npusim.mapping.micro_batches import bubble_s, micro_steps
from npusim.mapping.optable import LINEAR, OpTable
from npusim.mapping.pieces import compiled_pieces, largest_size
from npusim.workload.precision import SCHEMES
from npusim.workload.step import Step, decode

MOST_STEPS = 4096
"""Steps of one run of decode steps: the length of a buffer."""
_BLOCK = 1024
"""Steps whose stalls are drawn together; the few that stall are kept."""
COARSE = 1.0 / 128.0
"""Growth of a context within which a decode step need not be costed anew for a figure of a whole run."""
_LOGIT_BYTES = 2.0


@dataclass(frozen=True)
class DecodeRun:
    """Seconds and joules (all chips) of each step of a run of decode steps, float64 (steps,).

    host_s: of times_s, in which the chip waited for the host, float64 (steps,); held: whether the power cap held its
    last step back; parts_j: all its joules by ENERGY_PARTS, in their order; launch_s: host seconds in which a mixed
    step was launched, where that overlaps with the step before.
    """

    times_s: np.ndarray
    energies_j: np.ndarray
    host_s: np.ndarray
    held: bool
    parts_j: np.ndarray
    launch_s: float = 0.0


def run_of_one(cost: StepCost) -> DecodeRun:
    """A step as a run."""
    seconds, joules, host_s = (np.array([value]) for value in (cost.time_s, cost.energy_j, cost.host_s))
    return DecodeRun(seconds, joules, host_s, cost.held, cost.parts_in_order)


class AnalyticEngine:
    """Costs steps of one deployment. max_sequences: most sequences that a step will hold (size of the workspace).

    growth: fraction of its context by which a sequence may grow before a decode step of a run is costed anew; with 0
    each step is costed alone, with COARSE a whole run is within a thousandth of that.
    """

    def __init__(self, deployment: Deployment, max_sequences: int | None = None, growth: float = 0.0) -> None:
        if max_sequences is None:
            max_sequences = int(deployment.runtime_record[0]["limits_max_sequences"])
        if deployment.drafting is not None and type(self) is AnalyticEngine:
            raise ValueError("this deployment drafts; make its engine by speculation.analytic_engine")
        self.plan, self.system = deployment.plan, deployment.system
        self.deployment = deployment
        self._growth = growth
        self._machines, self._runtimes = deployment.machine, deployment.runtime_record
        self._artifacts = loaded(deployment.runtime, deployment.system)
        self.steps_by_artifact = Counter({each.name: 0 for each in self._artifacts})
        self.machine: Any = self._machines[0]
        self.runtime: Any = self._runtimes[0]
        self.template = program(deployment.model, deployment.precision, deployment.plan)
        _check_multiplies(self.template, deployment)
        self.logit_bytes = _LOGIT_BYTES * deployment.model.vocab
        self._work = make_workspace(self.template, max_sequences, MOST_STEPS)
        self._prefills: dict[tuple[int, int], StepCost] = {}
        self.stalls_at_all = bool(self.runtime["host_stall_probability"] > 0.0)
        self._stalls: dict[tuple[int, int], dict[int, float]] = {}

    @property
    def compiled_parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Workspace]:
        """What compiled code costs steps with: the program, the machine and the runtime (arrays of one), and room."""
        return self.template, self._machines, self._runtimes, self._work

    @property
    def growth(self) -> float:
        """As it was made with."""
        return self._growth

    @property
    def has_one_artifact(self) -> bool:
        """Whether all steps run in the shapes of one compiled artifact."""
        return len(self._artifacts) == 1

    @property
    def most_decoding(self) -> int:
        """Decoding sequences with which prompts in the same step run as one piece; -1 where they never do."""
        shapes = self.deployment.runtime
        chunk, batch = largest_size(shapes.prefill_chunk), largest_size(shapes.decode_batch)
        if chunk is not None or self.plan.micro_batches > 1 or self.plan.pipeline_parallel > 1:
            return -1
        return len(self._work.query) if batch is None else batch

    def like(self, deployment: Deployment) -> AnalyticEngine:
        """An engine of another deployment with the same room and growth."""
        return type(self)(deployment, len(self._work.query), self._growth)

    def cost(self, step: Step) -> StepCost:
        """The device cost of a step; a prompt chunk or batch larger than any compiled one runs in pieces.

        Through several stages it goes in micro-batches; the time that stages wait for each other is overhead.
        """
        parts = [self._cost_part(part) for part in micro_steps(step, self.plan.micro_batches)]
        total = reduce(combine, parts)
        bubbles_s = bubble_s([part.time_s for part in parts], self.plan, bool(step.decoding.any()))
        return self.idling(total, bubbles_s)

    def _cost_part(self, part: Step) -> StepCost:
        return reduce(combine, (self.piece_cost(piece) for piece in compiled_pieces(part, self._in(part).runtime)))

    def _in(self, step: Step) -> Loaded:
        """The artifact that runs a step."""
        return smallest(self._artifacts, step)

    def prefill_chunk(self, query: int, context: int, limited: float = 1.0) -> StepCost:
        """A chunk of one prompt alone, host time included.

        limited: how far the power limiter has settled, for a step that would exceed the limit.
        """
        settled = self._chunk(query, context)
        if len(self._artifacts) > 1:
            self._count(_chunk_step(query, context), 1)
        if limited == 1.0 or not settled.held:
            return settled
        return interpolated(self._rested._chunk(query, context), settled, limited)

    @cached_property
    def _rested(self) -> AnalyticEngine:
        """The same chip before its power limit acts and it is hot."""
        machine = self.deployment.machine.copy()
        machine["settled"] = 0.0
        return type(self)(replace(self.deployment, machine=machine), len(self._work.query))

    def _chunk(self, query: int, context: int) -> StepCost:
        """A chunk of one prompt, remembered by its size."""
        known = self._prefills.get((query, context))
        if known is None:
            known = self.with_host(self.cost(_chunk_step(query, context)), 1)
            self._prefills[query, context] = known
        return known

    def with_host(self, cost: StepCost, sequences: int) -> StepCost:
        """A step with the host time that it does not hide, at idle plus loaded static power."""
        return self.waiting(cost, self.host_s(cost.time_s, sequences))

    def host_s(self, device_s: float, sequences: int) -> float:
        """Host seconds that a step of `device_s` on the chip does not hide."""
        return host_time_of(device_s, sequences, self.logit_bytes, self._machines, self._runtimes)

    def waiting(self, cost: StepCost, seconds: float) -> StepCost:
        """A step followed by `seconds` in which the chip waits for the host."""
        if seconds <= 0.0:
            return cost
        whole = self.idling(cost, seconds)
        return replace(whole, host_s=whole.host_s + seconds)

    def idling(self, cost: StepCost, seconds: float) -> StepCost:
        """A step followed by `seconds` in which the chip waits."""
        if seconds <= 0.0:
            return cost
        waiting_s = dict.fromkeys(cost.shares_s, 0.0) | {"overhead": seconds}
        idle_j = seconds * float(self.machine["power_idle"]) * self.plan.chips
        loaded_j = seconds * float(waiting_w(self.machine)) * self.plan.chips
        parts_j = dict.fromkeys(ENERGY_PARTS, 0.0) | {"idle": idle_j, "loaded": loaded_j}
        return combine(cost, StepCost(seconds, idle_j + loaded_j, waiting_s, 0.0, 0.0, 1.0, parts_j))

    def stall_s(self, seed: int, counter: int) -> float:
        """Host stall of step number `counter` under `seed`, seconds."""
        if not self.stalls_at_all:
            return 0.0
        block = counter // _BLOCK
        known = self._stalls.get((seed, block))
        if known is None:
            stalls = self.stalls(seed, block * _BLOCK, _BLOCK)
            known = {block * _BLOCK + position: float(stalls[position]) for position in np.flatnonzero(stalls).tolist()}
            self._stalls[seed, block] = known
        return known.get(counter, 0.0)

    def stalls(self, seed: int, first: int, count: int) -> np.ndarray:
        """Host stalls of `count` steps from number `first` on under `seed`, seconds."""
        stalls = np.zeros(count)
        stall_times_of(seed, first, stalls, self._runtimes)
        return stalls

    def decode_run(
        self, held: np.ndarray, slots: int, limit: int, horizon_s: float, seed: int, counter: int
    ) -> DecodeRun:
        """Decode steps over sequences that hold `held` KV tokens each, until `limit` or until `horizon_s` passed."""
        self._require_room(len(held))
        runtimes, limit, first = self._runtimes, min(limit, MOST_STEPS), None
        if len(self._artifacts) > 1:
            first = decode(held + 1, slots)
            runtimes = self._in(first).under(runtimes)
            limit = min(limit, steps_within(self._artifacts, int(first.context.max()), 1))
        steps = decode_run(
            self.template,
            held,
            slots,
            limit,
            horizon_s,
            self._growth,
            self._machines,
            runtimes,
            self.logit_bytes,
            seed,
            counter,
            self._work,
        )
        if first is not None:
            self._count(first, int(steps))
        return self._run(steps)

    def mixed_run(self, step: Step, seed: int, counter: int, ready_s: float = 0.0) -> DecodeRun:
        """A step of prompts and decoding sequences with its host time and stall, as a run of one.

        ready_s: from the step's begin until the host can launch it, negative where it has begun to before.
        """
        stall_s = self.stall_s(seed, counter)
        self._count(step, 1)
        pieces = compiled_pieces(step, self._in(step).runtime)
        if len(pieces) > 1 or self.plan.micro_batches > 1 or self.plan.pipeline_parallel > 1:
            return run_of_one(self.waiting(self.with_host(self.cost(step), len(step.query)), stall_s))
        (step,) = pieces
        self._require_room(len(step.query))
        sequences = step.query, step.context, step.decoding, step.slots
        runtimes = self._in(step).under(self._runtimes)
        launch_s = mixed_run(
            self.template, *sequences, self._machines, runtimes, self.logit_bytes, stall_s, ready_s, self._work
        )
        return replace(self._run(1), launch_s=float(launch_s))

    def _count(self, step: Step, steps: int) -> None:
        """Note so many steps like `step` that a server took, by the artifact that ran them."""
        if len(self._artifacts) > 1:
            self.steps_by_artifact[self._in(step).name] += steps

    def _run(self, steps: int) -> DecodeRun:
        """What a run of `steps` has left in the workspace."""
        self._require_figures()
        last: Any = self._work.step[0]
        is_held = not math.isclose(float(last["clock"] * last["duty"]), 1.0)
        energies_j, parts_j = self._work.energies_j[:steps] * self.plan.chips, self._work.parts_j * self.plan.chips
        times_s, host_s = self._work.times_s[:steps].copy(), self._work.host_s[:steps].copy()
        return DecodeRun(times_s, energies_j, host_s, is_held, parts_j)

    def pieces(self, step: Step) -> list[Step]:
        """The step as one stage runs it in the runtime's compiled shapes, in order."""
        return [piece for pieces in self.parts(step) for piece in pieces]

    def parts(self, step: Step) -> list[list[Step]]:
        """The pieces of each micro-batch of the step."""
        return [compiled_pieces(part, self._in(part).runtime) for part in micro_steps(step, self.plan.micro_batches)]

    def operators(self, step: Step) -> tuple[OpTable, np.ndarray]:
        """The specialised rows of a step that runs in one piece, and the cost of each (OPERATOR_COST_DTYPE).

        Costs are at full clock; `cost(step).clock` says what the power cap makes of it.
        """
        count = self._fill(step)
        return OpTable(self._work.special[:count].copy(), step), self._work.costs[:count].copy()

    def piece_cost(self, step: Step) -> StepCost:
        """The cost of a step that runs in one piece."""
        self._fill(step)
        self._require_figures()
        return from_record(self._work.step[0], self.plan.chips)

    def _require_figures(self) -> None:
        """RuntimeError where the kernels of the chip's kind of unit gave no time or no energy: no figure is made up.

        DoesNotFit where the power cap leaves nothing to work.
        """
        last = self._work.step[0]
        if math.isinf(last["time_s"]):
            self.deployment.require_fit(1)
        if math.isnan(last["time_s"]) or math.isnan(last["energy_j"]):
            system = self.deployment.system
            raise RuntimeError(f"{system.name}: the kernels of a {system.chip.unit.kind} give no time or no energy")

    def _require_room(self, sequences: int) -> None:
        room = len(self._work.query)
        if sequences > room:
            raise ValueError(f"{sequences} sequences, but the engine was made for {room}")

    def _fill(self, step: Step) -> int:
        self._require_room(len(step.query))
        query, context, decoding = step.query, step.context, step.decoding
        runtimes = self._in(step).under(self._runtimes)
        count = cost_sequences(
            self.template, query, context, decoding, step.slots, self._machines, runtimes, self._work
        )
        return int(count)


def _chunk_step(query: int, context: int) -> Step:
    return Step(np.array([query]), np.array([context]), np.zeros(1, np.bool_), 1)


def _check_multiplies(template: np.ndarray, deployment: Deployment) -> None:
    multiplies = deployment.machine[0]["multiplies"]
    for row in template[template["kind"] == LINEAR]:
        if multiplies[row["weight_dtype"], row["activation_dtype"]] == dtypes.NOT_MULTIPLIED:
            weights, activations = dtypes.name(row["weight_dtype"]), dtypes.name(row["activation_dtype"])
            raise UserError(
                "--precision",
                deployment.precision.name,
                f"{deployment.system.name} has no way to multiply {weights} weights with {activations} activations; "
                f"choose another precision ({', '.join(_multiplied(multiplies))}), or give the chip's unit an "
                "expansion for it",
            )


def _multiplied(multiplies: np.ndarray) -> list[str]:
    """The schemes whose weights and activations a unit multiplies."""
    pairs = {name: (dtypes.code(weights), dtypes.code(activations)) for name, (weights, activations) in SCHEMES.items()}
    return [name for name, pair in pairs.items() if multiplies[pair] != dtypes.NOT_MULTIPLIED]
