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

REQUESTS_PER_USER = "requests_per_user"
_Z95 = float(norm.ppf(0.95))

Length = Annotated[Quantity, in_unit("token")]
"""A mean number of tokens."""


class Spreads(Part):
    """Relative standard deviation of a figure when it is measured again, by the way it was measured."""

    device_events: Ratio
    sustained_loop: Ratio
    engine_step: Ratio
    engine_run: Ratio
    board_power: Ratio
    card_profiler: Ratio
    card_counter: Ratio
    public_kernel: Ratio
    public_power: Ratio
    simulator: Ratio


class Lab(Part):
    """A lab that published serving runs: relative standard deviations of its figures and of its watts."""

    name: str
    figure: Ratio
    power: Ratio


class LabOffsets(Part):
    """What a lab's set-up differs in from the mechanisms that runtimes describe, as factors.

    host_time: on the host's time of a step and of a request; path_time: on the fixed times of step paths; output_part:
    tokens that its requests put out over the most that they may, where it does not say. A factor's range is the spread
    of labs about the mechanism's own number, so that a lab with few figures stays near it and a new one is drawn about
    it.
    """

    name: str
    host_time: Ratio
    path_time: Ratio
    output_part: Ratio


class EagerLaunch(Part):
    """Host time of one block-scaled product that is launched kernel by kernel, below which no time falls.

    few: of fewer than `few_rows` rows; many: of more; align: more where rows are no multiple of `alignment`.
    """

    few: Duration
    few_rows: Count
    many: Duration
    align: Duration
    alignment: Count


class Observation(Part):
    """What stands between the chip and a table.

    counter_factor: true time over the time that a card counter's assumed clock gives; prompt_spread, output_spread,
    context_spread: standard deviation of the logarithm of a trace's lengths; least_length: of the requests of a run
    whose harness draws them evenly, as part of the length that it tells; longest_context: most tokens of a request
    of a trace, prompt and output together; stall_per_step: mean host stall in a run whose source tells of stalls;
    requests_per_user: of a run whose source does not
    say; burst_settled: part of the median of a burst of passes during which the chip is hot and its power limit
    acts; operator_burst_settled: the same of a burst of one operator; loop_settled: of a loop of a published kernel;
    loop_power_seen: part of what a board draws beyond idle that the sensor shows for such a loop;
    eager_launch: of loops that are no graphs; labs: by name.
    """

    counter_factor: Ratio
    prompt_spread: Ratio
    output_spread: Ratio
    context_spread: Ratio
    longest_context: Length
    least_length: Efficiency
    stall_per_step: Duration
    requests_per_user: Ratio
    burst_settled: Fraction
    operator_burst_settled: Fraction
    loop_settled: Efficiency
    loop_power_seen: Efficiency
    eager_launch: EagerLaunch
    labs: tuple[LabOffsets, ...]


class Sources(Part):
    """The shipped description of the sources. other_lab: a lab that is not listed."""

    name: str
    spreads: Spreads
    labs: tuple[Lab, ...]
    other_lab: Lab
    observation: Observation

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
    """Relative sd of a timing: that of measuring it `again`, and the spread of its own 5th to 95th percentile."""
    if p5 is None or p95 is None:
        return again
    return math.hypot(again, (p95 - p5) / (2.0 * _Z95 * median))
