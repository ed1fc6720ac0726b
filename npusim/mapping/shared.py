"""Assumptions that all chips share, as numbers of a study: the bits of stored elements, the popularity of experts.

They are in no machine record: a deployment under other values has its operators lowered anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from npusim.hardware.draws import RangedNumber
from npusim.ledger import provenances
from npusim.mapping.deployment import Deployment
from npusim.workload.formats import Formats, formats
from npusim.workload.model import Model
from npusim.workload.precision import Precision
from npusim.workload.routing import Routing, Skew, routing, shipped_skew


def shared_numbers() -> list[RangedNumber]:
    """Every number of the shipped formats and of the shipped routing, its owner's name formats or routing."""
    described: tuple[Formats | Routing, ...] = (formats(), routing())
    return [
        RangedNumber(owner.name, "", None, told.quantity, told.path, told.domain)
        for owner in described
        for told in provenances(owner.name, owner)
    ]


def read_by(deployment: Deployment) -> list[RangedNumber]:
    """Those that a deployment reads: its formats, and the routing of experts without popularities of their own."""
    precision = deployment.precision
    read = {f"element.{precision.weights}", f"element.{precision.activations}", f"kv.{precision.kv}"}
    routed = _has_shipped_skew(deployment.model)
    return [number for number in shared_numbers() if number.label in read or (routed and number.owner == "routing")]


def with_shared(deployment: Deployment, values: Mapping[RangedNumber, float]) -> Deployment:
    """`deployment` with these values (SI) in place of the shipped ones."""
    if not values:
        return deployment
    told = {f"{number.owner}.{number.label}": value for number, value in values.items()}
    bits = tuple((path.removeprefix("formats."), value) for path, value in told.items() if path.startswith("formats."))
    precision: Precision = replace(deployment.precision, bits=bits)
    return replace(deployment, model=_routed(deployment.model, told), precision=precision)


def _routed(model: Model, told: Mapping[str, float]) -> Model:
    if model.experts is None or not _has_shipped_skew(model):
        return model
    shipped = shipped_skew()
    skew = Skew(
        told.get("routing.popularity.exponent", shipped.exponent), told.get("routing.popularity.span", shipped.span)
    )
    return replace(model, experts=replace(model.experts, skew=skew))


def _has_shipped_skew(model: Model) -> bool:
    return model.experts is not None and model.experts.skew == shipped_skew()
