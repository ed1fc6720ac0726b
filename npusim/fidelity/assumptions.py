"""What fidelity is judged on: the shipped table of schemes, drawn signals and the residual stream."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

from npusim.errors import UserError
from npusim.fidelity.quantiser import Quantiser
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Few, Fraction, Quantity, Stretch, in_unit
from npusim.workload.checkpoint import UNQUANTISED
from npusim.workload.precision import SCHEMES, Precision

_Tail = Annotated[Quantity, in_unit("", least=2.5, most=1e3)]
"""Degrees of freedom: with two the power of a signal has no bound."""
_Carry = Annotated[Quantity, in_unit("", most=10.0)]
_VARIANT = ":"
_WIDENED = "a16"


class Signal(Part):
    """How activations are spread; weights are Gaussian."""

    tail: _Tail
    """Degrees of freedom of a Student's t distribution: the fewer, the heavier its tails."""
    outlier_share: Fraction
    """Fraction of channels that are outliers in every token, at least one."""
    outlier_scale: Stretch
    """How many times as large an outlier channel is as the others."""


class ResidualStream(Part):
    """How noise adds up in the residual stream."""

    growth: Stretch
    """Power of the residual stream after a layer over that before it."""
    carry: _Carry
    """Relative noise of a block's output over that of its input, where the block adds none itself."""


class Accumulation(Part):
    """A running sum that is rounded."""

    format: Literal["bf16"]
    """Format to which it is rounded."""
    terms: Few
    """Products that are summed exactly between two roundings."""


class KvQuantiser(Quantiser):
    """How keys and values are kept."""

    scheme: Literal["bf16", "fp8", "int8"] = "bf16"
    """Format of the KV cache."""


class SchemeQuantisers(Part):
    """How a precision scheme, or a variant of it, quantises."""

    scheme: str
    """Precision scheme."""
    variant: str = ""
    """Name of the variant, empty for what the scheme means unless one is told."""
    weights: Quantiser
    """How weights are quantised."""
    activations: Quantiser
    """How activations are quantised."""
    accumulation: Accumulation | None = None
    """How products are summed, where sums lose more than those of 32 bits."""

    @property
    def name(self) -> str:
        """SCHEME, or SCHEME:VARIANT."""
        return f"{self.scheme}{_VARIANT}{self.variant}" if self.variant else self.scheme


class FidelityTable(Part):
    """The shipped table."""

    name: str
    """Name under which it is looked up and shown."""
    signal: Signal
    """How activations are spread."""
    residual: ResidualStream
    """How noise adds up in the residual stream."""
    kv: tuple[KvQuantiser, ...]
    """How keys and values are kept, by format of the KV cache."""
    schemes: tuple[SchemeQuantisers, ...]
    """How each scheme quantises."""


@remembered
def fidelity_table() -> FidelityTable:
    """The shipped table with its provenances."""
    return load_yaml(data_root("workloads") / "fidelity.yaml", FidelityTable)


def quantisers_of(name: str) -> SchemeQuantisers:
    """How the scheme SCHEME or SCHEME:VARIANT quantises. Raises UserError."""
    wanted = name.strip().lower()
    known = {each.name: each for each in fidelity_table().schemes}
    if wanted in known:
        return known[wanted]
    scheme = wanted.partition(_VARIANT)[0]
    if scheme in SCHEMES:
        told = ", ".join(each for each in known if each.partition(_VARIANT)[0] == scheme)
        raise UserError("--scheme", name, f"no such variant of {scheme}; use one of: {told}")
    raise UserError("--scheme", name, f"unknown scheme; use one of: {', '.join(SCHEMES)}")


def quantisers_for(precision: Precision) -> SchemeQuantisers:
    """How a deployment's formats quantise: as its scheme, with activations in 16 bits where the chip keeps them so."""
    usual = quantisers_of(precision.name)
    if precision.activations == SCHEMES[precision.name][1]:
        return usual
    plain = quantisers_of(UNQUANTISED).activations
    return usual.model_copy(update={"variant": _WIDENED, "activations": plain})


def kv_quantiser(kv: str) -> KvQuantiser:
    """How the KV cache of that format (bf16, fp8, int8) is quantised."""
    return next(each for each in fidelity_table().kv if each.scheme == kv)


def ends(quantity: Quantity) -> tuple[float, ...]:
    """The value, then the ends of its range where it has one."""
    return (quantity.value, *(end for end in (quantity.low, quantity.high) if end not in (None, quantity.value)))


SignalSpread = tuple[float, float, float]
"""Tail, share and scale of the outliers of activations."""


def signal_spreads() -> list[SignalSpread]:
    """The distributions of activations: the values first, then every corner of their ranges."""
    signal = fidelity_table().signal
    numbers = (signal.tail, signal.outlier_share, signal.outlier_scale)
    centre = (numbers[0].value, numbers[1].value, numbers[2].value)
    corners = product(*(ends(number)[1:] or (number.value,) for number in numbers))
    return [centre, *((tail, share, scale) for tail, share, scale in corners)]
