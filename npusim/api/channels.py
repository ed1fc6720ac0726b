"""What one channel of a DRAM standard delivers under a stream of requests."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, Json
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options, warn_of
from npusim.errors import UserError
from npusim.inputs.limits import MOST, MOST_REQUESTS
from npusim.units import NS_PER_S

if TYPE_CHECKING:
    from npusim.hardware.dram import Dram
    from npusim.hardware.dram_channel.measure import ChannelRun, Traffic

_GIGA = 1e9
_PICO = 1e12


@dataclass(frozen=True)
class DramOptions(Options):
    """What `npusim dram` is asked."""

    standard: Annotated[str, Argument("A shipped DRAM standard or the path of a description.")]
    _: KW_ONLY
    pattern: Annotated[Literal["seq", "random", "rand", "stride"], Option("Order of the requested addresses.")] = "seq"
    mapping: Annotated[Literal["bgint", "rocol", "xor"], Option("How addresses are spread over banks and rows.")] = (
        "bgint"
    )
    refresh: Annotated[Literal["off", "ab", "pb"], Option("Refresh none, all banks at once or bank by bank.")] = "ab"
    outstanding: Annotated[int, Option("Unanswered requests at the same time.", metavar="N", least=1, most=65_536)] = (
        128
    )
    stride: Annotated[
        int,
        Option(
            "Bursts from one request to the next.",
            metavar="BURSTS",
            least=1,
            most=MOST,
            only_with=("pattern", "stride"),
        ),
    ] = 1
    block: Annotated[
        int | None,
        Option("Bytes in order at each random address.", metavar="BYTES", default="a burst", least=1, most=2**30),
    ] = None
    write_fraction: Annotated[
        float,
        Option(
            "Fraction of the requests that write, 0 to 1.",
            names=("--write-fraction", "--write-frac"),
            metavar="PART",
            least=0,
            most=1,
        ),
    ] = 0.0
    write_mode: Annotated[
        Literal["inplace", "stream"], Option("Writes among the reads, or a sequential stream of their own.")
    ] = "inplace"
    requests: Annotated[int, Option("Bursts that are measured.", metavar="N", least=1, most=MOST_REQUESTS)] = 12_000
    channels: Annotated[int, Option("Identical channels, evenly loaded.", metavar="N", least=1, most=65_536)] = 1
    pseudo_channels: Annotated[
        int, Option("Pseudo channels of HBM that share one command bus.", metavar="N", least=1, most=64)
    ] = 1
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        random = self.pattern in ("random", "rand")
        if self.block is not None and not random:
            raise UserError("--block", "", "applies to --pattern random alone; add it, or leave --block out")
        if self.write_mode != "inplace" and not self.write_fraction:
            raise UserError("--write-mode", "", "applies where --write-fraction is more than zero; add it")
        if self.seed and not random and not self.write_fraction:
            warn_of("--seed", "nothing is drawn in this stream; add --pattern random or --write-fraction")


@dataclass(frozen=True)
class DramResult:
    """answer: everything, as the command line's JSON has it; in SI units where a key names no other."""

    answer: Answer
    asked: DramOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("dram")


@asked_by(DramOptions)
def dram(asked: DramOptions) -> DramResult:
    """Runs a stream of requests on one channel of a DRAM standard, command by command. Raises UserError."""
    from npusim.hardware.catalog import load_memory
    from npusim.hardware.dram_channel.measure import Traffic, measure_channel

    memory = load_memory(asked.standard)
    traffic = Traffic(
        pattern="random" if asked.pattern == "rand" else asked.pattern,
        requests=asked.requests,
        outstanding=asked.outstanding,
        mapping=asked.mapping,
        refresh=asked.refresh,
        stride=asked.stride,
        block=_bursts(memory, asked.block),
        write_fraction=asked.write_fraction,
        write_mode=asked.write_mode,
        pseudo_channels=asked.pseudo_channels,
        seed=asked.seed,
    )
    return DramResult(_answer(memory, measure_channel(memory, traffic), asked.channels, traffic), asked)


def _bursts(memory: Dram, block: int | None) -> int:
    access = int(memory.organisation.access.value)
    if block is None:
        return 1
    if block % access:
        raise UserError("--block", str(block), f"{memory.name} moves {access} bytes a burst; give a multiple of it")
    return block // access


def _answer(memory: Dram, run: ChannelRun, channels: int, traffic: Traffic) -> dict[str, Json]:
    pseudo_channels = round(run.achieved_bytes_per_s / (run.fraction_of_peak * memory.peak_bandwidth.value))
    peak = memory.peak_bandwidth.value * channels * pseudo_channels
    achieved = run.fraction_of_peak * peak
    energy = sum(run.energy_j.values())
    return {
        "standard": memory.name,
        "title": memory.title,
        "peak_bytes_per_s": peak,
        "peak_gb_per_s": peak / _GIGA,
        "achieved_bytes_per_s": achieved,
        "achieved_gb_per_s": achieved / _GIGA,
        "fraction_of_peak": run.fraction_of_peak,
        "bound": run.bound,
        "use": run.use,
        "latency_ns": run.latency_s * NS_PER_S,
        "row_hit_rate": run.row_hit_rate,
        "energy_j": {name: joules * channels for name, joules in run.energy_j.items()},
        "energy_pj_per_byte": energy / run.payload_bytes * _PICO,
        "elapsed_us": run.elapsed_s * 1e6,
        "commands": run.commands,
        "note": memory.note,
        "assumptions": _assumptions(memory),
        "traffic": {name: getattr(traffic, name) for name in traffic.__dataclass_fields__},
    }


def _assumptions(memory: Dram) -> list[Json]:
    """The assumed and derived numbers with a range that the figures depend on."""
    from npusim.hardware.draws import is_ranged
    from npusim.ledger import provenances

    return [
        {"path": item.path, **item.quantity.model_dump(exclude={"sd", "date"})}
        for item in provenances(memory.name, memory)
        if is_ranged(item.quantity)
    ]
