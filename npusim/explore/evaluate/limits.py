"""The hard bounds that a claim meets, as for a measured figure: capacity, bandwidth, arithmetic, links, power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from npusim.bounds.arithmetic import arithmetic
from npusim.bounds.bandwidth import bandwidth
from npusim.bounds.capacity import capacity
from npusim.bounds.ceiling import ceiling_of
from npusim.bounds.collective import collectives
from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, load_of
from npusim.bounds.power_cap import MEAN, power_cap
from npusim.bounds.reading import Reading
from npusim.explore.evaluate.claim import ALIKE, USERS_AT_SLO, Claim
from npusim.mapping.deployment import Deployment
from npusim.metric_names import inverses, resolve
from npusim.units import MS_PER_S


def claim_findings(claim: Claim, arch: str, deployment: Deployment) -> list[Finding]:
    """What every bound says of the claim taken as a figure that was reached. Raises UserError."""
    if claim.is_peak or claim.baseline is not None:
        return []
    isl, osl, users = claim.load
    chips = deployment.plan.cards * deployment.system.chips_per_card
    scheme = deployment.precision
    load = load_of(arch, deployment.model, (scheme, scheme), chips, isl, osl)
    alike = claim.prompts == ALIKE
    load = replace(load, users=users, prompts_differ=not alike, tensor_parallel=deployment.plan.tensor_parallel)
    return [*capacity(load), *_of_figure(claim, arch, load, deployment)]


def _of_figure(claim: Claim, arch: str, load: BoundedLoad, deployment: Deployment) -> Iterator[Finding]:
    reading = Reading.exact(claim.value)
    if claim.figure == MEAN:
        yield from power_cap((ceiling_of(arch, True), ceiling_of(arch, False)), load.chips, reading, 0.0)
        return
    if claim.figure == USERS_AT_SLO:
        figures = {resolve(name): Reading.exact(limit) for name, limit in claim.slo}
    else:
        latency = inverses(claim.figure)
        figures = {latency: reading if latency == claim.figure else Reading.exact(MS_PER_S / claim.value)}
    yield from bandwidth(load, figures)
    yield from arithmetic(load, figures)
    yield from collectives(load, deployment.model, figures)
