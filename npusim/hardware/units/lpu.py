"""LPUs: trees of multipliers as wide as the memory's stream of weights, each tree an output."""

from __future__ import annotations

from typing import ClassVar, Literal

from npusim.hardware.compute import MacRates, Traits, Unit, VectorPasses
from npusim.ledger import Bytes, Count, Cycles, Duration, Efficiency, Few


class Lpu(Unit):
    """MAC trees through which weights stream once, matched to the memory (Moon et al., arXiv 2408.07326)."""

    TRAITS: ClassVar = Traits(
        prefix="lpu",
        elements=("tree_sets", "trees", "tree_inputs"),
        macs="macs_per_input",
        on_chip={"sram_bytes": ("sram",)},
        lanes=("vector_lanes",),
        shared=("tree_sets",),
    )

    kind: Literal["lpu"]
    """Kind of compute unit."""
    tree_sets: Few
    """Number of sets of trees that multiply one stream of weights, each by a vector of its own."""
    trees: Count
    """Number of trees of a set, each of which sums one output."""
    tree_inputs: Few
    """Number of multipliers of a tree."""
    macs_per_input: MacRates
    """Multiply-accumulates of a multiplier by operand type."""
    tree_efficiency: Efficiency
    """Fraction of the cycles, 0 to 1, in which running trees are fed."""
    pipeline: Cycles
    """Time from the first weight of an operator to its first output, in cycles."""
    instruction_time: Duration
    """Fixed time of one instruction, in seconds."""
    vector_lanes: Count
    """Number of lanes of the vector engine."""
    vector_passes: VectorPasses
    """Passes of the vector lanes by operator."""
    sram: Bytes
    """Memory on the chip in which activations stay where they fit, in bytes."""
