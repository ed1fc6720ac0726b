"""How well the sources of measured tables measured, and what they left unsaid (validation/sources.yaml)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from scipy.stats import norm

from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.draws import RangedNumber, is_ranged
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Count, Duration, Efficiency, Fraction, Quantity, Ratio, in_unit, provenances

REQUESTS_PER_USER_COLUMN = "requests_per_user"
_Z95 = float(norm.ppf(0.95))

Length = Annotated[Quantity, in_unit("token")]
"""A mean number of tokens."""


class Spreads(Part):
    """Relative standard deviation of a figure when it is measured again, by the way it was measured."""

    device_events: Ratio
    """Ratio of the standard deviation to the mean of times between events on the device."""
    sustained_loop: Ratio
    """Ratio of the standard deviation to the mean of times of a sustained loop."""
    engine_step: Ratio
    """Ratio of the standard deviation to the mean of times of an engine's steps."""
    engine_run: Ratio
    """Ratio of the standard deviation to the mean of figures of a whole run of an engine."""
    board_power: Ratio
    """Ratio of the standard deviation to the mean of power from the board's sensor."""
    card_profiler: Ratio
    """Ratio of the standard deviation to the mean of times from a card's profiler."""
    card_counter: Ratio
    """Ratio of the standard deviation to the mean of times from a card's cycle counter."""
    public_kernel: Ratio
    """Ratio of the standard deviation to the mean of published times of kernels."""
    public_power: Ratio
    """Ratio of the standard deviation to the mean of published power."""
    another_card: Ratio
    """Ratio of the standard deviation to the mean of figures of one kind of chip over its cards."""
    first_token_elsewhere: Ratio
    """Standard deviation of log(measured / predicted) of a first token's time on a server and of a client that no
    calibration saw."""
    simulator: Ratio
    """Ratio of the standard deviation to the mean of figures of another simulator."""


class Lab(Part):
    """A lab that published serving runs."""

    name: str
    """Name of the lab."""
    figure: Ratio
    """Ratio of the standard deviation to the mean of its figures."""
    power: Ratio
    """Ratio of the standard deviation to the mean of its measured power."""


class LabOffsets(Part):
    """How a lab's set-up differs from the mechanisms that runtimes describe.

    A factor's range is the spread of labs about the mechanism's own number, so that a lab with few figures stays near
    it and a new lab is drawn about it.
    """

    name: str
    """Name of the lab."""
    host_time: Ratio
    """Factor on the host's time of a step and of a request."""
    path_time: Ratio
    """Factor on the fixed times of step paths."""
    output_part: Ratio
    """Ratio of the tokens that its requests generate to the most that they may, where it does not say."""


class EagerLaunch(Part):
    """Host time of one block-scaled product that is launched kernel by kernel, below which no time falls."""

    few: Duration
    """Time of a product of fewer than `few_rows` rows, in seconds."""
    few_rows: Count
    """Number of rows below which `few` holds."""
    many: Duration
    """Time of a product of more rows, in seconds."""
    align: Duration
    """Time that is added where rows are no multiple of `alignment`, in seconds."""
    alignment: Count
    """Number of rows to a multiple of which they are aligned."""


class Observation(Part):
    """What lies between the chip and a measured table."""

    counter_factor: Ratio
    """Ratio of the true time to the time that a card counter's assumed clock gives."""
    prompt_spread: Ratio
    """Standard deviation of the logarithm of a trace's prompt lengths, as a factor."""
    output_spread: Ratio
    """Standard deviation of the logarithm of a trace's output lengths, as a factor."""
    context_spread: Ratio
    """Standard deviation of the logarithm of a trace's contexts, as a factor."""
    longest_context: Length
    """Longest request of a trace, prompt and output together, in tokens."""
    least_length: Efficiency
    """Shortest request of a harness that draws lengths evenly, as a fraction of the length that it states, 0 to 1."""
    stall_per_step: Duration
    """Mean host stall per step of a run whose source mentions stalls, in seconds."""
    requests_per_user: Ratio
    """Number of requests of each user of a run whose source does not say."""
    burst_settled: Fraction
    """Fraction of the median of a burst of passes, 0 to 1, during which the chip is hot and its power limit acts."""
    operator_burst_settled: Fraction
    """Fraction of the median of a burst of one operator, 0 to 1, during which the chip is hot and its power limit
    acts."""
    loop_settled: Efficiency
    """Fraction of a loop of a published kernel, 0 to 1, during which the chip is hot and its power limit acts."""
    loop_power_seen: Efficiency
    """Fraction of the power beyond idle, 0 to 1, that the sensor shows for such a loop."""
    eager_launch: EagerLaunch
    """Host time of loops that are no graphs."""
    labs: tuple[LabOffsets, ...]
    """Set-ups of labs, by name."""


class Sources(Part):
    """The shipped description of the sources."""

    name: str
    """Name of the description."""
    spreads: Spreads
    """Spreads by the way of measuring."""
    labs: tuple[Lab, ...]
    """Labs that published serving runs."""
    other_lab: Lab
    """Spread of a lab that is not listed."""
    observation: Observation
    """What lies between the chip and a table."""

    def lab(self, name: str) -> Lab:
        """The lab of that name, or `other_lab`."""
        return next((lab for lab in self.labs if lab.name == name), self.other_lab)

    def observed(self) -> dict[str, float]:
        """The values of `observation` by name, those of its parts by dotted path."""
        return {each.path: each.quantity.value for each in provenances(self.name, self.observation)}

    def latent(self) -> list[RangedNumber]:
        """The numbers of `observation` that have a range, by the names of `observed`."""
        return [
            RangedNumber(self.name, each.path, None, each.quantity, f"observation.{each.path}")
            for each in provenances(self.name, self.observation)
            if is_ranged(each.quantity)
        ]


def sources_path() -> Path:
    """The file of the shipped description of sources."""
    return data_root("validation") / "sources.yaml"


@remembered
def sources() -> Sources:
    """The shipped sources with their provenances."""
    return load_yaml(sources_path(), Sources)


def with_percentiles(again: float, median: float, p5: float | None, p95: float | None) -> float:
    """Relative sd of a timing: of measuring it `again`, and the spread of its own 5th to 95th percentile."""
    if p5 is None or p95 is None:
        return again
    return math.hypot(again, (p95 - p5) / (2.0 * _Z95 * median))
