"""The few instances behind a router that are simulated in place of a whole cell of a fleet.

What a router does to an instance has two parts. It spreads requests more evenly than chance would, the more so the more
instances it knows (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 12(10), 2001); that
shows among a few instances. And it sends the next request of a session elsewhere where it looks at loads alone, so that
its prefix is not there; that hangs on the size of the cell. A group of `size` of the cell's instances therefore gets
size / cell of the requests of each session, by chance, out of as many more sessions (thinned Poisson processes are
Poisson, Kingman 1993).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.engine.analytic import AnalyticEngine
from npusim.mapping.deployment import Deployment
from npusim.serving.instances.routing import SEES_PREFIXES
from npusim.serving.instances.simulate import replicas_of, simulate_instances
from npusim.serving.load import Load
from npusim.serving.metrics import RunMetrics
from npusim.serving.simulate import ServedRun, simulate

_SUMS = ("_per_s", "power_w_mean")
"""Ends of the names of figures that are sums over the instances of a run."""


@dataclass(frozen=True)
class RoutedGroup:
    """routing: by its name; size: instances that are simulated together; cell: instances of which they are a part."""

    routing: str
    size: int = 1
    cell: int = 1

    @property
    def seen(self) -> float:
        """Part of the requests of a session that come to the group: all where the router looks for their prefixes."""
        return 1.0 if self.routing in SEES_PREFIXES else self.size / self.cell

    def run(self, where: Deployment, load: Load, seed: int, engine: AnalyticEngine) -> ServedRun:
        """All its instances together. Raises DoesNotFit, UserError."""
        if self.size == 1:
            return simulate(where, load, seed, engine)
        return simulate_instances(replicas_of(where, self.size), load, seed, self.routing).whole


ALONE = RoutedGroup("round_robin")
"""One instance with all requests of its sessions."""


def per_instance(metrics: RunMetrics, size: int) -> RunMetrics:
    """Figures of a group with those that are sums over its instances divided among them."""
    shares = {name: value / size for name, value in metrics.figures.items() if name.endswith(_SUMS)}
    return replace(metrics, figures={**metrics.figures, **shares}) if size > 1 else metrics
