"""What a claim of operations of an event-driven unit means, and whether memory, mesh and power leave it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Given, Option, Options
from npusim.errors import UserError

if TYPE_CHECKING:
    from npusim.bounds.event_driven import RateBound
    from npusim.hardware.neuromorphic import Neuromorphic

_MOST_SYNAPSES = 10**15
_NETWORK = "neurons", Given
_CLAIM = "claim", Given


@dataclass(frozen=True)
class NeuromorphicOptions(Options):
    """What `npusim neuromorphic` is asked."""

    unit: Annotated[
        str, Argument("A shipped event-driven unit or the path of a description.", metavar="UNIT|FILE.yaml")
    ]
    _: KW_ONLY
    claim: Annotated[
        str | None, Option("Claimed rate with its unit, such as '1 POPS' or '46 GSOPS'.", metavar="RATE")
    ] = None
    counted: Annotated[
        Literal["spikes", "synapses"] | None,
        Option(
            "Whether the claim counts a synapse for each spike that meets it, or each synapse of every step.",
            default="both are read",
            only_with=_CLAIM,
        ),
    ] = None
    operations: Annotated[
        int | None,
        Option(
            "Operations that the claim counts for one synapse, 1 or 2.",
            metavar="N",
            default="both are read",
            least=1,
            most=2,
            only_with=_CLAIM,
        ),
    ] = None
    width: Annotated[
        float | None,
        Option("Bits of a synapse, address included.", metavar="BITS", default="the unit's", least=0.5, most=1024),
    ] = None
    activity: Annotated[
        float | None,
        Option(
            "Part of the neurons that spike in a step, 0 to 1.", metavar="PART", default="not told", least=1e-9, most=1
        ),
    ] = None
    fan_in: Annotated[
        float | None,
        Option(
            "Synapses of a neuron in the mean, which is also the number that a spike meets.",
            metavar="N",
            default="not told",
            least=0.001,
            most=_MOST_SYNAPSES,
        ),
    ] = None
    neurons: Annotated[
        int | None, Option("Neurons of a network to be judged.", metavar="N", least=1, most=_MOST_SYNAPSES)
    ] = None
    rate: Annotated[
        float | None,
        Option("Steps of the network in a second.", metavar="HZ", default="not told", least=0.001, only_with=_NETWORK),
    ] = None
    power_limit: Annotated[
        float | None, Option("Most power in watts.", metavar="W", default="the unit's", least=0.000001)
    ] = None
    layers: Annotated[
        Path | None, Option("A network of event-driven and dense layers, placed on both units.", metavar="FILE.yaml")
    ] = None
    dense: Annotated[
        str | None,
        Option("Architecture whose chip runs the dense layers.", metavar="ARCH", only_with=("layers", Given)),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.layers is None) != (self.dense is None):
            raise UserError("--layers", "", "a network of layers needs both units; add --dense ARCH")
        if self.activity is not None and self.claim is None and self.neurons is None:
            raise UserError("--activity", "", "applies to a claim or a network; add --claim or --neurons")


@dataclass(frozen=True)
class NeuromorphicResult:
    """answer: everything, as the command line's JSON has it; in SI units where a key names no other."""

    answer: Answer
    asked: NeuromorphicOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("neuromorphic")


@asked_by(NeuromorphicOptions)
def neuromorphic(asked: NeuromorphicOptions) -> NeuromorphicResult:
    """Bounds of an event-driven unit, and whether they leave a claim, a network or a hybrid one. Raises UserError."""
    from npusim.answers.neuromorphic import CONVENTIONS, bounds_answer, unit_assumptions
    from npusim.bounds.event_driven import bounds_of
    from npusim.hardware.catalog import load_neuromorphic

    unit = load_neuromorphic(asked.unit)
    bounds = bounds_of(unit, asked.width, asked.fan_in, asked.power_limit)
    answer: Answer = {"unit": unit.name, "title": unit.title, "silicon": unit.silicon, "note": unit.note}
    answer |= bounds_answer(bounds)
    answer |= {
        "claim": None if asked.claim is None else _claim(asked, bounds),
        "network": None if asked.neurons is None else _network(asked, asked.neurons, unit, bounds),
        "hybrid": None if asked.layers is None else _hybrid(asked, unit),
    }
    return NeuromorphicResult(answer | {"conventions": list(CONVENTIONS), "assumptions": unit_assumptions(unit)}, asked)


def _claim(asked: NeuromorphicOptions, bounds: list[RateBound]) -> Answer:
    from npusim.answers.neuromorphic import Claimed, judged_claim, operations_per_s

    try:
        rate = operations_per_s(str(asked.claim))
    except ValueError as error:
        raise UserError("--claim", str(asked.claim), str(error)) from error
    return judged_claim(Claimed(rate, asked.counted, asked.operations, asked.activity), bounds)


def _network(asked: NeuromorphicOptions, neurons: int, unit: Neuromorphic, bounds: list[RateBound]) -> Answer:
    from npusim.answers.neuromorphic import SpikingNetwork, judged_network

    return judged_network(SpikingNetwork(neurons, asked.fan_in, asked.activity, asked.rate), unit, asked.width, bounds)


def _hybrid(asked: NeuromorphicOptions, unit: Neuromorphic) -> Answer:
    from npusim.answers.hybrid import layered_answer
    from npusim.hardware.catalog import load_system
    from npusim.hardware.yaml_file import load_yaml
    from npusim.workload.layered import LayeredNetwork

    network = load_yaml(Path(str(asked.layers)), LayeredNetwork)
    return layered_answer(network, unit, load_system(str(asked.dense)), asked.width, asked.power_limit)
