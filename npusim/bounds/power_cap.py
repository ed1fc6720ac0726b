"""Power: mean watts of the cards are at most the limit that they enforce, and at least those of idle cards.

A limit that is only assumed is none: such a card may draw what it draws. Single samples pass a limit that holds on the
mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from npusim.bounds.ceiling import Ceiling
from npusim.bounds.finding import Finding
from npusim.bounds.reading import LEAST, Reading
from npusim.words import Phrase

CAP, IDLE = "power cap", "idle power"
MEAN = "power_w_mean"


def power_cap(ceilings: tuple[Ceiling, Ceiling], chips: int, watts: Reading, meter: float) -> Iterator[Finding]:
    """Bounds on mean card watts. meter: relative margin of the sensor, counted in favour of the figure."""
    generous, usual = ceilings
    read = watts.widened(meter)
    if generous.power_w is not None and usual.power_w is not None:
        limit = generous.power_w * chips
        low, high = read.low / limit, watts.high / (usual.power_w * chips)
        says = Phrase("the {watts} W that the cards enforce", {"watts": f"{limit:,.0f}"})
        yield Finding(CAP, MEAN, low, high, says, limit * (1.0 + meter))
    idle = generous.idle_w * chips
    low, high = idle / max(read.high, LEAST), usual.idle_w * chips / max(watts.low, LEAST)
    says = Phrase(
        "its watts for idle chips alone (chips: {chips}; {watts} W)", {"chips": chips, "watts": f"{idle:,.0f}"}
    )
    yield Finding(IDLE, MEAN, low, high, says, idle * (1.0 - meter), hard=False)
