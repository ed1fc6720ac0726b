"""A network of which some layers are event-driven and others dense: what each layer counts, and where it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from npusim.hardware.base import Part, Share, Whole

_MOST = 1_000_000_000_000_000
"""More synapses than any network has."""
_Synapses = Annotated[int, Field(gt=0, le=_MOST, strict=True)]
Operand = Literal["bf16", "fp8", "int8"]
OPERAND_BYTES = {"bf16": 2, "fp8": 1, "int8": 1}


class NetworkLayer(Part):
    """One layer of such a network."""

    name: str
    """Name of the layer."""
    synapses: _Synapses
    """Synapses of one step, each of which a dense unit multiplies once; a convolution counts each use of a weight."""
    weights: _Synapses
    """Weights that are stored for it; a convolution stores fewer than it has synapses."""
    fan_out: _Synapses | None = None
    """Synapses that a spike into it meets in the mean, which bounds the mesh; unknown if omitted."""
    activity: Share | None = None
    """Part of the neurons before it that spike in a step, 0 to 1; unknown if omitted."""
    unit: Literal["event-driven", "dense"] | None = None
    """Unit that it runs on; by `event_below` if omitted."""


class LayeredNetwork(Part):
    """A network of event-driven and dense layers."""

    name: str
    """Name of the network."""
    steps: Whole
    """Steps of an answer in which event-driven layers pass spikes; dense layers run once."""
    operand: Operand
    """Operand type of the dense layers, which also stores their weights."""
    order: Literal["one after another", "at the same time"]
    """Whether the two units wait for each other (times add up) or work at the same time (the longer one counts)."""
    event_below: Share | None = None
    """Activity below which a layer without `unit` is event-driven; every layer names its unit if omitted."""
    layers: Annotated[tuple[NetworkLayer, ...], Field(min_length=1, max_length=10_000)]
    """Layers in their order."""

    @field_validator("layers")
    @classmethod
    def _names_differ(cls, layers: tuple[NetworkLayer, ...]) -> tuple[NetworkLayer, ...]:
        names = [each.name for each in layers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two layers are named '{twice}'")
        return layers

    @model_validator(mode="after")
    def _rule_is_used(self) -> LayeredNetwork:
        if self.event_below is not None and all(each.unit is not None for each in self.layers):
            raise ValueError("event_below: every layer names its unit; take the rule or the units out")
        return self

    def unit_of(self, layer: NetworkLayer) -> str | None:
        """event-driven or dense; None where neither the layer nor the rule with the layer's activity says it."""
        if layer.unit is not None or self.event_below is None or layer.activity is None:
            return layer.unit
        return "event-driven" if layer.activity < self.event_below else "dense"
