"""`npusim pim`: what memories with PIM units do alone, and what a design gains by them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.options import as_json_option
from npusim.cli.output import figure, print_json, stdout_console, table
from npusim.cli.pim_compare import compare

if TYPE_CHECKING:
    from npusim.hardware.pim import Pim

_BAR = "#"
_BAR_WIDTH = 40
_UJ = 1e6


@click.group("pim")
def pim() -> None:
    """Memories with PIM units: single operations (gemv, attention, stream), and designs with and without (compare).

    MEMORY is a shipped one (npusim list pims), the path of your own, or an architecture that has one.
    """


pim.add_command(compare)


def _bench_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every single operation."""
    options = (
        click.option(
            "--dtype", metavar="TYPE", help="bf16, fp16, int8, w4a8, w8a16 or w4a16 [default: the units' first]."
        ),
        click.option(
            "--placement",
            type=click.Choice(("bank", "bank_group", "buffer")),
            help="Where the units stand, for memories described in several places [default: as described].",
        ),
        click.option(
            "--power-limit/--no-power-limit", default=True, help="Stretch MACs as a power limit does [default]."
        ),
        click.option("--fence", metavar="TIME", help='Host fence, as "150 ns" [default: as described].'),
        click.option("--interval", is_flag=True, help="Give every figure with its 90 % interval."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws."),
        as_json_option,
    )
    return functools.reduce(lambda inner, option: option(inner), reversed(options), click.pass_obj(command))


@pim.command()
@click.argument("memory")
@click.option("--out", "--out-dim", "outputs", type=int, required=True, metavar="N", help="Rows of the matrix.")
@click.option("--in", "--in-dim", "inputs", type=int, required=True, metavar="K", help="Columns of the matrix.")
@click.option("--batch", type=int, default=1, show_default=True, help="Vectors, each of which passes the matrix anew.")
@_bench_options
def gemv(argv: list[str], memory: str, outputs: int, inputs: int, batch: int, dtype: str | None, **how: Any) -> None:
    """A matrix-vector product w[N, K] . x on the units of MEMORY."""
    from npusim.answers.pim_bench import gemv as operation

    _bench(argv, memory, lambda described: operation(described, outputs, inputs, batch, dtype), **how)


@pim.command()
@click.argument("memory")
@click.option("--heads", type=int, required=True, help="Query heads of a sequence.")
@click.option("--kv", "--kv-len", "kv", type=int, required=True, metavar="L", help="Tokens attended.")
@click.option("--head-dim", type=int, default=128, show_default=True)
@click.option("--kv-heads", type=int, help="KV heads [default: one for each query head].")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences.")
@_bench_options
def attention(
    argv: list[str],
    memory: str,
    heads: int,
    kv: int,
    head_dim: int,
    kv_heads: int | None,
    batch: int,
    dtype: str | None,
    **how: Any,
) -> None:
    """Attention of decoding sequences on the units of MEMORY."""
    from npusim.answers.pim_bench import attention as operation

    _bench(argv, memory, lambda described: operation(described, heads, kv, head_dim, batch, kv_heads, dtype), **how)


@pim.command()
@click.argument("memory")
@click.option("--op", "what", type=click.Choice(("add", "mul", "relu")), required=True)
@click.option("--elements", type=int, required=True, metavar="N")
@_bench_options
def stream(argv: list[str], memory: str, what: str, elements: int, dtype: str | None, **how: Any) -> None:
    """An element-wise operation on the units of MEMORY."""
    from npusim.answers.pim_bench import stream as operation

    _bench(argv, memory, lambda described: operation(described, what, elements, dtype), **how)


def _bench(
    argv: list[str],
    memory: str,
    operation: Callable[[Pim], Any],
    placement: str | None,
    power_limit: bool,
    fence: str | None,
    interval: bool,
    seed: int,
    as_json: bool,
) -> None:
    from npusim.answers.pim_bench import measure
    from npusim.answers.pim_devices import assumptions, device, device_files
    from npusim.manifest import build_manifest

    described = device(memory, placement)
    answer = measure(
        described,
        operation(described),
        power_limit=power_limit,
        fence_s=_seconds(fence),
        interval_wanted=interval,
        seed=seed,
    )
    answer |= {"note": described.note, "assumptions": assumptions(described)}
    if as_json:
        print_json({**answer, "manifest": build_manifest(argv, seed, device_files(memory, placement))})
        return
    _print_answer(described.title, answer)


def _seconds(fence: str | None) -> float | None:
    from npusim.errors import UserError
    from npusim.units import to_si

    if fence is None:
        return None
    try:
        seconds = to_si(fence, "s")
    except ValueError as error:
        raise UserError("--fence", "", str(error)) from error
    if not seconds >= 0.0:
        raise UserError("--fence", "", f"{fence} must be zero or more")
    return seconds


def _print_answer(title: str, answer: dict[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{answer['op']} in {answer['dtype']} on {title}{'' if answer['silicon'] else ' (no public silicon)'}"
    )
    console.print(
        f"{figure(answer['time_us'])} us ({figure(answer['cycles'], 0)} clocks in the memory), "
        f"{figure(answer['speedup'])} times the host's stream of the same bytes ({figure(answer['baseline_us'])} us); "
        f"{answer['fraction_of_peak']:.1%} of the all-bank rate; bound by {answer['bound']}."
    )
    console.print(
        f"{figure(_scaled(answer['energy_j']))} uJ beside {figure(_scaled(answer['baseline_energy_j']))} uJ of the "
        "stream (memory device alone, refresh and rest included)."
    )
    console.print(table(("cost", "us", "share", ""), _breakdown(answer)))
    if answer["assumptions"]:
        rows = [[item["path"], item["text"], item["range"], item["source"]] for item in answer["assumptions"]]
        console.print(table(("assumed number", "value", "90 % range", "source"), rows, text_columns=4))
    if answer["note"]:
        console.print(answer["note"].strip())


def _scaled(joules: Any) -> Any:
    return {name: value * _UJ for name, value in joules.items()} if isinstance(joules, dict) else joules * _UJ


def _breakdown(answer: dict[str, Any]) -> Iterator[list[str]]:
    spent = answer["breakdown_us"]
    whole = sum(spent.values())
    for name, time_us in spent.items():
        share = time_us / whole
        yield [name, figure(time_us, 3), f"{share:.1%}", _BAR * round(share * _BAR_WIDTH)]
