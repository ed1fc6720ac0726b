"""`npusim pim compare`: a design with its PIM units and without them, and what decides the difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.deployment import caveats, configuration, configuration_text, deployment_of, manifest
from npusim.cli.options import Setup, as_json_option, setup_options
from npusim.cli.output import figure, plain, print_json, say, stdout_console, table

if TYPE_CHECKING:
    from npusim.explore.pim.chart import Caption
    from npusim.mapping.deployment import Deployment

_FIGURES = {
    "output_tokens_per_s": ("output tokens/s", 1),
    "tokens_per_joule": ("output tokens/J", 3),
    "tpot_ms": ("time per output token [ms]", 2),
    "ttft_ms": ("time to first token [ms]", 1),
    "power_w": ("power [W]", 1),
}
_GAINS = {"output_tokens_per_s": "speedup", "tokens_per_joule": "efficiency_gain"}


@click.command()
@click.argument("arch")
@click.argument("model")
@click.option("--isl", type=int, default=1024, show_default=True, metavar="I", help="Prompt tokens of every request.")
@click.option("--osl", type=int, default=256, show_default=True, metavar="O", help="Output tokens of every request.")
@click.option("--concurrency", type=int, default=1, show_default=True, metavar="C", help="Users.")
@click.option("--draws", type=int, default=64, show_default=True, help="Boards drawn for the intervals.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a table, a chart and the answer into this folder.")
@setup_options(cards="auto")
@as_json_option
@click.pass_obj
def compare(
    argv: list[str],
    arch: str,
    model: str,
    isl: int,
    osl: int,
    concurrency: int,
    draws: int,
    out: Path | None,
    setup: Setup,
    as_json: bool,
) -> None:
    """Tokens per second and per joule of ARCH with its PIM units against the same board without, and what decides it.

    Every offload policy runs; the fastest one stands for the design with PIM.
    """
    from npusim.engine.compiled import ensure_compiled
    from npusim.explore.pim.compare import compare as compared
    from npusim.explore.pim.report import answer_of, write_comparison

    ensure_compiled(say)
    deployment = deployment_of(arch, model, setup, tokens=isl + osl)
    found = compared(deployment, isl, osl, concurrency, seed=setup.seed, draws=draws)
    load = {"isl": isl, "osl": osl, "concurrency": concurrency, "draws": draws}
    answer = {
        "configuration": configuration(deployment),
        **load,
        **answer_of(found),
        "projection": not deployment.system.silicon,
        "note": deployment.system.note,
    }
    record = manifest(argv, setup, [arch], [model])
    if out is not None:
        whole = plain({**answer, "manifest": record})
        files = write_comparison(found, whole, _caption(deployment, isl, osl, concurrency), out)
        answer |= {"files": [str(file) for file in files]}
    if as_json:
        print_json({**answer, "manifest": record})
        return
    _print_answer(deployment, answer)


def _caption(deployment: Deployment, isl: int, osl: int, users: int) -> Caption:
    from npusim.explore.pim.chart import Caption

    projection = "PROJECTION of a design that does not exist in silicon"
    return Caption(
        title=configuration_text(deployment),
        load=f"prompts of {isl:,} and outputs of {osl:,} tokens, users: {users:,}",
        standing="PREDICTION, not a measurement" if deployment.system.silicon else projection,
        note=" ".join(deployment.system.note.split()),
    )


def _print_answer(deployment: Deployment, answer: dict[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{configuration_text(deployment)}: prompts of {answer['isl']:,} and outputs of {answer['osl']:,} tokens, "
        f"{answer['concurrency']:,} in flight. With PIM: policy '{answer['best_policy']}', the fastest."
    )
    headings = ("", "without PIM", "with PIM", "gain")
    console.print(table(headings, _rows(answer), "90 % intervals from the ranges of all numbers"))
    for gain, told in (("speedup", "tokens per second"), ("efficiency_gain", "tokens per joule")):
        title = f"What decides the gain in {told}"
        value = answer["gain"][gain]["value"]
        names = ("number", "kind", "its range", f"{gain} at the low end", "at the high end", "source")
        console.print(table(names, _deciders(answer["deciders"][gain], value), title, text_columns=3))
    console.print(
        table(("policy", "tokens/s", "tokens/J", "TPOT [ms]", "TTFT [ms]"), _policies(answer), "Every policy")
    )
    console.print(answer["note"].strip())
    for line in caveats([deployment]):
        console.print(line)
    for file in answer.get("files", ()):
        console.print(f"wrote {file}")


def _rows(answer: dict[str, Any]) -> Iterator[list[str]]:
    for name, (label, digits) in _FIGURES.items():
        gain = answer["gain"][_GAINS[name]] if name in _GAINS else None
        sides = [figure(answer[side][name], digits) for side in ("without", "with")]
        yield [label, *sides, f"{figure(gain)} times" if gain else ""]


def _deciders(found: list[dict[str, Any]], value: float) -> Iterator[list[str]]:
    from npusim.ledger import range_text

    for item in found:
        ends = [figure(value * item[end]) for end in ("at_low", "at_high")]
        yield [item["path"], item["kind"], range_text(item), *ends, item["source"]]


def _policies(answer: dict[str, Any]) -> Iterator[list[str]]:
    for name, figures in answer["policies"].items():
        if figures is None:
            yield [name, *["does not fit"] * 4]
        else:
            yield [name, *(figure(figures[key], _FIGURES[key][1]) for key in list(_FIGURES)[:4])]
