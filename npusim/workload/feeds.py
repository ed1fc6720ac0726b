"""What follows attention in a layer: one MLP, or a mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.workload.routing import UNIFORM, Skew


@dataclass(frozen=True)
class Mlp:
    """An MLP of `width` elements; gated: two products up, of which one gates the other; bias: of all products."""

    width: int
    gated: bool = True
    bias: bool = False

    @property
    def inputs(self) -> int:
        """Products up."""
        return 2 if self.gated else 1

    def matrices(self, hidden: int) -> int:
        """Parameters of the products."""
        return (self.inputs + 1) * hidden * self.width

    def vectors(self, hidden: int) -> int:
        """Parameters of the biases."""
        return self.bias * (self.inputs * self.width + hidden)


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in place of the MLP. Widths are elements of one expert's inner layer.

    chosen: experts that a token goes to; shared_width: of all shared experts together, or of the MLP beside the
    experts, 0 for none; shared_gate: the shared expert's output has a gate of its own; router_bias: one number an
    expert; biased: the experts' matrices have biases; gated: two products up, as in an MLP; latent: elements to which
    tokens are projected for the routed experts, 0 for none; zeros: further choices of the router that lead to no
    expert; skew: of the experts' popularities.
    """

    count: int
    chosen: int
    width: int
    shared_width: int = 0
    shared_gate: bool = False
    router_bias: bool = False
    biased: bool = False
    gated: bool = True
    latent: int = 0
    zeros: int = 0
    skew: Skew = UNIFORM

    @property
    def inputs(self) -> int:
        """Products up of an expert."""
        return 2 if self.gated else 1

    @property
    def choices(self) -> int:
        """Columns of the router."""
        return self.count + self.zeros

    @property
    def computed(self) -> int:
        """Experts that a token is multiplied with on average, choices that lead to none left out."""
        return max(1, round(self.chosen * self.count / self.choices))

    def matrices(self, hidden: int, counted: int) -> int:
        """Parameters of a layer's router, shared experts and `counted` routed experts."""
        inner = self.latent or hidden
        one = (self.inputs + 1) * inner * self.width
        shared = (self.inputs + 1) * hidden * self.shared_width + self.shared_gate * hidden
        return counted * one + shared + self.choices * hidden + 2 * hidden * self.latent

    def vectors(self, hidden: int, counted: int) -> int:
        """Parameters of the biases of the router and of `counted` routed experts."""
        one = self.inputs * self.width + (self.latent or hidden)
        return counted * self.biased * one + self.choices * self.router_bias
