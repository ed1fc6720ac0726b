"""Numbers that a proposed chip changes and that move no claim: a claim does not hang on what they promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from npusim.errors import UserError
from npusim.explore.evaluate.claim import Claim
from npusim.explore.evaluate.figures import claimed_figure, load_of_claim
from npusim.hardware.calibration import with_quantities
from npusim.hardware.catalog import base_system, load_system
from npusim.hardware.field_docs import sentence_at
from npusim.hardware.machine import build_machine
from npusim.ledger import Quantity, provenances
from npusim.mapping.deployment import Deployment
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate


@dataclass(frozen=True)
class UnmovedNumber:
    """path: of the number; meaning: the sentence of its field."""

    path: str
    meaning: str

    @property
    def text(self) -> str:
        return f"{self.path} moves none of the claimed figures; {self.meaning}"


def unmoved_numbers(
    arch: str, claims: Sequence[Claim], deployments: Sequence[Deployment], seed: int
) -> list[UnmovedNumber]:
    """Numbers that the architecture changes in the shipped one that it extends, and that no claim would miss.

    None for an architecture that extends nothing: it does not say what it changes.
    """
    base = base_system(arch)
    if base is None:
        return []
    described = load_system(arch, uncalibrated=True)
    known = {each.path: each.quantity for each in provenances("", base)}
    changed = (
        (told.path, known[told.path])
        for told in provenances("", described)
        if told.path in known and known[told.path].value != told.quantity.value
    )
    both = list(zip(claims, deployments, strict=True))
    own = [_figure(claim, deployment, seed) for claim, deployment in both]
    return [
        UnmovedNumber(path, sentence_at(described, path))
        for path, was in changed
        if not _any_moved(own, ((claim, _reverted(deployment, path, was)) for claim, deployment in both), seed)
    ]


def _any_moved(own: Sequence[str], reverted: Iterable[tuple[Claim, Deployment]], seed: int) -> bool:
    return any(
        figure != _figure(claim, deployment, seed) for figure, (claim, deployment) in zip(own, reverted, strict=True)
    )


def _reverted(deployment: Deployment, path: str, was: Quantity) -> Deployment:
    """The deployment with one number as the base has it."""
    system = with_quantities(deployment.system, {path: was})
    return replace(deployment, system=system, machine=build_machine(system)).under(deployment.plan)


def _figure(claim: Claim, deployment: Deployment, seed: int) -> str:
    """The claimed figure as text (NaN is NaN), or why there is none."""
    try:
        deployment.require_fit(sum(claim.load[:2]))
        return repr(claimed_figure(claim, measure(simulate(deployment, load_of_claim(claim), seed))))
    except UserError as error:
        return error.message
