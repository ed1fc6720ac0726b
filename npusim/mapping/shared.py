"""Assumptions that all chips share, as numbers of a study: the bits of stored elements, the popularity of experts.

They are in no machine record: a deployment under other values has its operators lowered anew. A calibration that holds
them moves them for its own architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from npusim.hardware.calibration import Calibration
from npusim.hardware.draws import RangedNumber, is_ranged
from npusim.ledger import provenances
from npusim.workload.formats import Formats, formats
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.routing import Routing, Skew, routing

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment

FORMATS, ROUTING = "formats", "routing"
SHARED = (FORMATS, ROUTING)
"""The owners of these numbers."""


def formats_under(calibration: Calibration | None) -> Formats:
    """The shipped formats, under a calibration where it holds numbers of theirs."""
    return formats() if calibration is None else calibration.apply(FORMATS, formats())


def routing_under(calibration: Calibration | None) -> Routing:
    """The shipped routing, under a calibration where it holds numbers of it."""
    return routing() if calibration is None else calibration.apply(ROUTING, routing())


def shared_numbers(calibration: Calibration | None = None) -> list[RangedNumber]:
    """Every number of the formats and of the routing, its owner's name formats or routing."""
    return [*_numbers(FORMATS, formats_under(calibration)), *_numbers(ROUTING, routing_under(calibration))]


def _numbers(owner: str, described: Formats | Routing) -> list[RangedNumber]:
    return [
        RangedNumber(owner, "", None, told.quantity, told.path, told.domain) for told in provenances(owner, described)
    ]


def read_by(deployment: Deployment) -> list[RangedNumber]:
    """Those that a deployment reads: its formats, and the routing of experts without popularities of their own."""
    read, experts = _bits_of(deployment.precision), deployment.model.experts
    bits = [number for number in _numbers(FORMATS, formats_under(deployment.calibration)) if number.label in read]
    routed = experts is not None and experts.skew.assumed
    return [*bits, *(_numbers(ROUTING, routing_under(deployment.calibration)) if routed else ())]


def ranged_shared(deployment: Deployment) -> list[RangedNumber]:
    """Those that a deployment reads and that have a range."""
    return [number for number in read_by(deployment) if is_ranged(number.quantity)]


def calibrated_shared(calibration: Calibration | None) -> dict[RangedNumber, float]:
    """The values (SI) of those that a calibration holds."""
    if calibration is None or not any(map(calibration.holds_for, SHARED)):
        return {}
    numbers = shared_numbers(calibration)
    return {number: number.quantity.value for number in numbers if number.quantity.kind == "calibrated"}


def with_shared(deployment: Deployment, values: Mapping[RangedNumber, float]) -> Deployment:
    """`deployment` with these values (SI) in place of its own; itself where it reads none of them."""
    told = {f"{number.owner}.{number.label}": value for number, value in values.items()}
    precision, model = _stored(deployment.precision, told), _routed(deployment.model, told)
    if precision is deployment.precision and model is deployment.model:
        return deployment
    return replace(deployment, model=model, precision=precision)


def _stored(precision: Precision, told: Mapping[str, float]) -> Precision:
    given = {path: told[f"formats.{path}"] for path in _bits_of(precision) if f"formats.{path}" in told}
    if not given:
        return precision
    return replace(precision, bits=tuple(sorted((dict(precision.bits) | given).items())))


def _bits_of(precision: Precision) -> set[str]:
    """The paths of the sizes that a scheme reads."""
    return {f"element.{precision.weights}", f"element.{precision.activations}", f"kv.{precision.kv}"}


def _routed(model: Model, told: Mapping[str, float]) -> Model:
    experts = model.experts
    if experts is None or not experts.skew.assumed:
        return model
    own = experts.skew
    exponent, span = (told.get(f"routing.popularity.{name}", getattr(own, name)) for name in ("exponent", "span"))
    if (exponent, span) == (own.exponent, own.span):
        return model
    return replace(model, experts=replace(experts, skew=Skew(exponent, span, assumed=True)))
