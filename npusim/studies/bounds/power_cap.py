"""Power: mean watts of the cards are at most the limit that they enforce, and at least those of idle cards.

A limit that is only assumed is none: such a card may draw what it draws. Single samples pass a limit that holds on the
mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from npusim.studies.bounds.ceiling import Ceiling
from npusim.studies.bounds.finding import Finding
from npusim.studies.bounds.reading import Reading

CAP, IDLE = "power cap", "idle power"
MEAN = "power_w"


def power_cap(ceilings: tuple[Ceiling, Ceiling], chips: int, watts: Reading, meter: float) -> Iterator[Finding]:
    """Bounds on mean card watts. meter: relative margin of the sensor, counted in favour of the figure."""
    generous, usual = ceilings
    read = watts.widened(meter)
    if generous.power_w is not None and usual.power_w is not None:
        limit = generous.power_w * chips
        low, high = read.low / limit, watts.high / (usual.power_w * chips)
        yield Finding(CAP, MEAN, low, high, f"the {limit:,.0f} W that the cards enforce", limit * (1.0 + meter))
    idle = generous.idle_w * chips
    low, high = idle / max(read.high, 1e-9), usual.idle_w * chips / max(watts.low, 1e-9)
    says = f"its watts for {chips} idle chips alone ({idle:,.0f} W)"
    yield Finding(IDLE, MEAN, low, high, says, idle * (1.0 - meter), hard=False)
