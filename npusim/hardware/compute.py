"""What all compute units have: a clock, multiply-accumulate rates by operand type, and what their kind can do.

A kind is a module of `npusim/hardware/units` with one subclass of `Unit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from npusim.hardware.base import Part
from npusim.ledger import Count, EnergyPerOp, Frequency, Ratio


class MacRates(Part):
    """Multiply-accumulates per cycle of one element (slice or SM) by operand type; an omitted type is not native."""

    bf16: Count
    """Number of BF16 or FP16 multiply-accumulates per cycle."""
    fp8: Count | None = None
    """Number of FP8 multiply-accumulates per cycle."""
    int8: Count | None = None
    """Number of INT8 multiply-accumulates per cycle."""
    int4: Count | None = None
    """Number of INT4 multiply-accumulates per cycle."""
    nvfp4: Count | None = None
    """Number of NVFP4 multiply-accumulates per cycle."""


class MacEnergies(Part):
    """Energy of one multiply-accumulate with its operand delivery, by operand type."""

    bf16: EnergyPerOp
    """Energy of a BF16 or FP16 multiply-accumulate, in joules."""
    fp8: EnergyPerOp | None = None
    """Energy of an FP8 multiply-accumulate, in joules."""
    int8: EnergyPerOp | None = None
    """Energy of an INT8 multiply-accumulate, in joules."""
    int4: EnergyPerOp | None = None
    """Energy of an INT4 multiply-accumulate, in joules."""
    nvfp4: EnergyPerOp | None = None
    """Energy of an NVFP4 multiply-accumulate, in joules."""


class Expansion(Part):
    """What the unit multiplies when weights are stored in a type that it cannot multiply natively."""

    stored: Literal["int4", "mxfp4", "nvfp4", "int8", "fp8"]
    """Type in which weights are stored."""
    activations: Literal["bf16", "fp8", "int8"]
    """Type of the activations."""
    computed: Literal["bf16", "fp8", "int8"]
    """Type in which both are multiplied."""
    source: str
    """Document or measurement that says so."""


class VectorPasses(Part):
    """Passes of the vector lanes over the elements of an operator."""

    norm: Ratio
    """Number of passes of a normalisation."""
    rope: Ratio
    """Number of passes of a rotary position embedding."""
    activation: Ratio
    """Number of passes of an activation function with its product."""
    softmax: Ratio
    """Number of passes of a softmax."""
    sample: Ratio
    """Number of passes of sampling over the logits."""


class Traits(NamedTuple):
    """What is known of a kind of compute unit without looking into it.

    prefix: of its fields in the machine's record; elements: counts whose product is the number of elements that have
    the rates `macs`; on_chip: fields whose product is the bytes of a memory on the chip, by its name in answers;
    lanes, registers: fields whose product is the number of vector lanes, and the bytes of register files that stand for
    themselves; processors: of streaming multiprocessors, whose lanes, registers and L1 are one block of the die;
    shared: counts whose product is how many multiply-accumulates an operand serves once it is read from SRAM, none
    where that is not told; engines: counts whose product is the number of engines (PEs) that a runtime may fuse and
    that sum among themselves, none where the chip works as one; best: efficiencies that a generous bound takes at their
    high ends; queues: its queues decide what hides under the memory stream, and no number of a path does; libraries: a
    runtime chooses among its kernel libraries.
    """

    prefix: str
    elements: tuple[str, ...]
    macs: str
    on_chip: Mapping[str, tuple[str, ...]]
    lanes: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    registers: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    best: tuple[str, ...] = ()
    queues: bool = False
    libraries: bool = False


class Unit(Part):
    """A compute unit; each kind says in `TRAITS` what the rest of npusim needs to know of it."""

    TRAITS: ClassVar[Traits]

    kind: str
    """Kind of compute unit."""
    clock: Frequency
    """Clock of the unit at full speed, in Hz."""
    expansions: tuple[Expansion, ...] = ()
    """What is multiplied when weights are stored in a type that the unit cannot multiply natively."""

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
        """A kind whose traits name no fields of its own is refused where it is registered."""
        traits = getattr(cls, "TRAITS", None)
        if traits is None:
            raise TypeError(f"{cls.__name__} lacks TRAITS")
        products = [
            traits.elements,
            (traits.macs,),
            traits.engines,
            traits.best,
            traits.lanes,
            traits.processors,
            traits.registers,
            traits.shared,
            *traits.on_chip.values(),
        ]
        unknown = {name for names in products for name in names} - cls.model_fields.keys()
        if unknown or not traits.elements or not traits.on_chip:
            raise TypeError(f"{cls.__name__}.TRAITS: elements and on_chip need fields, {sorted(unknown)} are none")

    @property
    def macs(self) -> MacRates:
        """Rates of one element."""
        rates: MacRates = getattr(self, self.TRAITS.macs)
        return rates

    @property
    def elements(self) -> float:
        return self.product(self.TRAITS.elements)

    @property
    def engines(self) -> float:
        """Engines that work as one at most; 1 where the chip has none of its own."""
        return self.product(self.TRAITS.engines)

    def product(self, names: Iterable[str]) -> float:
        """The product of some of its numbers."""
        return math.prod(getattr(self, name).value for name in names)

    def libraries(self) -> Mapping[str, Mapping[str, int]]:
        """By kind of work for which a runtime chooses a kernel library: those that can do it, with their indices."""
        return {}

    def lacks(self, experts: bool, latent: bool) -> tuple[str, str] | None:
        """Key and mend where it has no kernels for a model with experts or with latent attention."""
        return None
