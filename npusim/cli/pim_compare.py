"""`npusim pim compare`: a design with its PIM units and without them, and what decides the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from npusim import api
from npusim.api.caveats import caveats
from npusim.api.deploying import configuration_text
from npusim.api.pim_comparing import PimCompareOptions
from npusim.cli.conditions import print_conditions
from npusim.cli.options import command
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.metric_row import Shown
from npusim.metrics import shown

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment


@command(PimCompareOptions, "compare")
def compare_offload(asked: PimCompareOptions, as_json: bool) -> None:
    """Tokens per second and per joule of ARCH with its PIM units against the same board without, and what decides it.

    Every offload policy runs; the fastest one is the design with PIM.
    """
    from npusim.engine.compiled import ensure_compiled

    ensure_compiled(say)
    found = api.pim_compare.of(asked)
    if as_json:
        print_json({**found.answer, "manifest": found.manifest})
        return
    _print_answer(found.deployment, found.answer)


def _print_answer(deployment: Deployment, answer: Mapping[str, Any]) -> None:
    console = stdout_console()
    console.print(
        f"{configuration_text(deployment)}: prompts of {answer['isl']:,} and outputs of {answer['osl']:,} tokens, "
        f"{answer['concurrency']:,} in flight. With PIM: policy '{answer['best_policy']}', the fastest."
    )
    print_conditions(console, [answer["conditions"]])
    headings = ("", "without PIM", "with PIM", "gain")
    console.print(table(headings, _rows(answer), "90 % intervals: the same drawn boards and errors on both sides"))
    for gain, told in (("speedup", "tokens per second"), ("efficiency_gain", "tokens per joule")):
        title = f"What decides the gain in {told}"
        value = answer["gain"][gain]["value"]
        names = ("number", "kind", "its range", f"{gain} at the low end", "at the high end", "source")
        console.print(table(names, _deciders(answer["deciders"][gain], value), title, text_columns=3))
    console.print(
        table(
            ("policy", *(f"{row.label} [{row.unit}]" for row in shown(Shown.BRIEF))), _policies(answer), "Every policy"
        )
    )
    console.print(answer["note"].strip())
    for line in caveats([deployment]):
        console.print(line)
    for file in answer.get("files", ()):
        console.print(f"wrote {file}")


def _rows(answer: Mapping[str, Any]) -> Iterator[list[str]]:
    from npusim.explore.pim.deciders import GAINS

    for row in shown(Shown.BRIEF):
        gain = answer["gain"][GAINS[row.name]] if row.name in GAINS else None
        sides = [figure(answer[side][row.quantity], row.digits) for side in ("without", "with")]
        yield [f"{row.meaning} [{row.unit}]", *sides, f"{figure(gain)} times" if gain else ""]


def _deciders(found: list[dict[str, Any]], value: float) -> Iterator[list[str]]:
    from npusim.ledger import range_text

    for item in found:
        ends = [figure(value * item[end]) for end in ("at_low", "at_high")]
        yield [item["path"], item["kind"], range_text(item), *ends, item["source"]]


def _policies(answer: Mapping[str, Any]) -> Iterator[list[str]]:
    rows = shown(Shown.BRIEF)
    for name, figures in answer["policies"].items():
        told = (
            ["does not fit"] * len(rows) if figures is None else [figure(figures[r.quantity], r.digits) for r in rows]
        )
        yield [name, *told]
