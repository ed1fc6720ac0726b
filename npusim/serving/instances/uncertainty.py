"""Intervals of several servers and of two pools: each draw is one run of all of them, as it is of a single server.

Servers of one kind are the same chip under the same software, so that a draw gives all of them the same numbers: what
is not known of one is not known of the others. Errors that a calibration left are drawn once a run for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from npusim.engine.analytic import COARSE
from npusim.errors import DoesNotFit
from npusim.serving.bounded import HardLimits, run_limits
from npusim.serving.instances.disaggregated import PoolsRun, simulate_pools
from npusim.serving.instances.pool import Pool
from npusim.serving.instances.simulate import simulate_instances
from npusim.serving.instances.transfer import Wire
from npusim.serving.joint import FIRST, POWER, TOKEN, JointDraws, draws_within, left_widths
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics, measure
from npusim.serving.uncertainty import drawn_deployments


def instances_draws(pool: Pool, load: Load, value: RunMetrics, routing: str, seed: int) -> JointDraws:
    """Joint draws of the figures of a run over all servers of a pool; value: of the run on the given numbers."""
    machines = []
    for drawn in drawn_deployments(pool.deployment, seed):
        try:
            run = simulate_instances(pool.on(drawn).instances, load, seed, routing, COARSE)
        except DoesNotFit:
            continue
        machines.append(replace(measure(run.whole), busy_s=max(run.busy_s)))
    limits = run_limits(pool.deployment, load, value.figures, pool.count)
    return draws_within(load, value, machines, seed, left_widths(pool.deployment), limits)


def drawn_pools(
    prefill: Pool, decode: Pool, wires: Iterable[Callable[[Pool, Pool], Wire]], load: Load, routing: str, seed: int
) -> list[PoolsRun]:
    """A run of both pools on each drawn set of numbers that holds the model.

    wires: what gives each draw the link between two drawn pools. Pools of one architecture and runtime get the same
    numbers, and what all chips share is drawn alike for both.
    """
    runs = []
    drawn = drawn_deployments(prefill.deployment, seed), drawn_deployments(decode.deployment, seed)
    for source, target, wire in zip(*drawn, wires, strict=True):
        sources, targets = prefill.on(source), decode.on(target)
        link = wire(sources, targets)
        try:
            runs.append(simulate_pools(sources.instances, targets.instances, load, seed, link, routing, COARSE))
        except DoesNotFit:
            continue
    return runs


def pools_draws(
    prefill: Pool, decode: Pool, load: Load, value: RunMetrics, runs: Iterable[PoolsRun], seed: int
) -> JointDraws:
    """Joint draws of the figures of a run of two pools; value: of the run on the given numbers, runs: `drawn_pools`."""
    machines = [replace(measure(run.whole), busy_s=max(*run.prefill.busy_s, *run.decode.busy_s)) for run in runs]
    return draws_within(load, value, machines, seed, _widths(prefill, decode), _limits(prefill, decode, load, value))


def _widths(prefill: Pool, decode: Pool) -> dict[str, float]:
    """The wait for a first token is the prefill pool's, and the decode pool's too where that puts it out; watts are
    known as well as those of the pool that is known worse."""
    first, rest = left_widths(prefill.deployment), left_widths(decode.deployment)
    connector = decode.deployment.runtime.connector
    is_again = connector is not None and connector.first_token == "decode"
    return {
        FIRST: max(first[FIRST], rest[FIRST]) if is_again else first[FIRST],
        TOKEN: rest[TOKEN],
        POWER: max(first[POWER], rest[POWER]),
    }


def _limits(prefill: Pool, decode: Pool, load: Load, value: RunMetrics) -> HardLimits:
    """Servers alike are bounded as one server of all their chips; of unlike ones no bound is known."""
    first, second = prefill.deployment, decode.deployment
    if first.system.name != second.system.name or first.plan != second.plan:
        return HardLimits()
    return run_limits(second, load, value.figures, prefill.count + decode.count)
