"""`npusim dram`: what one channel of a DRAM standard delivers under a stream of requests, and what binds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from npusim.hardware.dram import Dram
    from npusim.hardware.dram_channel.measure import ChannelRun

_NS = 1e9
_GIGA = 1e9
_PICO = 1e12
_BAR = "#"
_BAR_WIDTH = 40
_PATTERNS = ("seq", "random", "rand", "stride")
_POSITIVE = click.IntRange(min=1)


@click.command()
@click.argument("standard")
@click.option("--pattern", type=click.Choice(_PATTERNS), default="seq", show_default=True)
@click.option("--mapping", type=click.Choice(("bgint", "rocol", "xor")), default="bgint", show_default=True)
@click.option(
    "--refresh", type=click.Choice(("off", "ab", "pb")), default="ab", show_default=True, help="All-bank, per-bank."
)
@click.option("--outstanding", type=_POSITIVE, default=128, show_default=True, help="Unanswered requests at once.")
@click.option(
    "--stride", type=_POSITIVE, default=1, show_default=True, help="Bursts from one request to the next (stride)."
)
@click.option(
    "--block", type=_POSITIVE, metavar="BYTES", help="Bytes in order at each random place [default: a burst]."
)
@click.option("--write-fraction", "--write-frac", type=click.FloatRange(0, 1), default=0.0, show_default=True)
@click.option(
    "--write-mode",
    type=click.Choice(("inplace", "stream")),
    default="inplace",
    show_default=True,
    help="Writes among the reads, or a sequential stream of their own.",
)
@click.option("--requests", type=_POSITIVE, default=12_000, show_default=True, help="Measured bursts.")
@click.option("--channels", type=_POSITIVE, default=1, show_default=True, help="Like channels, evenly loaded.")
@click.option(
    "--pseudo-channels", type=_POSITIVE, default=1, show_default=True, help="HBM: those that share one command bus."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@as_json_option
@click.pass_obj
def dram(
    argv: list[str], standard: str, pattern: str, block: int | None, channels: int, seed: int, as_json: bool, **how: Any
) -> None:
    """Run a stream of requests on one channel of a DRAM STANDARD, command by command.

    STANDARD is a shipped one (npusim list memories) or the path of your own. A request is one burst; what the figures
    say of the standard is no better than its timings, whose provenances `npusim show STANDARD` tells.
    """
    from npusim.hardware.catalog import load_memory, memory_path
    from npusim.hardware.dram_channel.measure import Traffic, measure

    memory = load_memory(standard)
    how["pattern"] = "random" if pattern == "rand" else pattern
    traffic = Traffic(block=_bursts(memory, block), seed=seed, **how)
    answer = _answer(memory, measure(memory, traffic), channels)
    answer |= {"traffic": {name: getattr(traffic, name) for name in traffic.__dataclass_fields__}}
    if as_json:
        print_json({**answer, "manifest": build_manifest(argv, seed, [memory_path(standard)])})
        return
    _print(answer)


def _bursts(memory: Dram, block: int | None) -> int:
    from npusim.errors import UserError

    access = int(memory.organisation.access.value)
    if block is None:
        return 1
    if block % access:
        raise UserError("--block", str(block), f"{memory.name} moves {access} bytes a burst; give a multiple of it")
    return block // access


def _answer(memory: Dram, run: ChannelRun, channels: int) -> dict[str, Any]:
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
        "latency_ns": run.latency_s * _NS,
        "row_hit_rate": run.row_hit_rate,
        "energy_j": {name: joules * channels for name, joules in run.energy_j.items()},
        "energy_pj_per_byte": energy / run.payload_bytes * _PICO,
        "elapsed_us": run.elapsed_s * 1e6,
        "commands": run.commands,
        "note": memory.note,
        "assumptions": _assumptions(memory),
    }


def _assumptions(memory: Dram) -> list[dict[str, Any]]:
    """The assumed and derived numbers with a range that the figures hang on."""
    from npusim.hardware.draws import is_ranged
    from npusim.ledger import provenances

    return [
        {"path": item.path, **item.quantity.model_dump(exclude={"sd", "date"})}
        for item in provenances(memory.name, memory)
        if is_ranged(item.quantity)
    ]


def _print(answer: dict[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{answer['title']}: {figure(answer['achieved_gb_per_s'])} of {figure(answer['peak_gb_per_s'])} GB/s "
        f"({answer['fraction_of_peak']:.1%}), bound by {answer['bound']}."
    )
    if answer["commands"]["read"]:
        console.print(f"A read takes {figure(answer['latency_ns'], 1)} ns on average.")
    console.print(
        f"{answer['row_hit_rate']:.1%} of the requests find their row open; "
        f"{figure(answer['energy_pj_per_byte'], 1)} pJ a byte (assumed energies: see show)."
    )
    rows = [
        [name, f"{part:.1%}", _BAR * round(part * _BAR_WIDTH)]
        for name, part in sorted(answer["use"].items(), key=lambda item: -item[1])
    ]
    console.print(table(("limit", "taken up", ""), rows))
    console.print(answer["note"])
