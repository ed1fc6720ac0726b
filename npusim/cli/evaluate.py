"""`npusim evaluate`: whether the claims of a proposed chip can hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from npusim.cli.deployment import caveats
from npusim.cli.options import as_json_option
from npusim.cli.output import figure, print_json, say, stdout_console, table
from npusim.manifest import build_manifest
from npusim.words import ENGLISH, speaker

if TYPE_CHECKING:
    from npusim.explore.evaluate.fixed_times import FixedTimes
    from npusim.explore.evaluate.run import Evaluation

_US = 1e6


@click.command()
@click.argument("proposal", metavar="PROPOSAL.yaml", type=click.Path(dir_okay=False))
@click.option("--out", type=click.Path(dir_okay=False), metavar="F.html", help="Write the report to this file.")
@click.option(
    "--lang", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="Language of the report."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all random draws.")
@as_json_option
@click.pass_obj
def evaluate(argv: list[str], proposal: str, out: str | None, lang: str, seed: int, as_json: bool) -> None:
    """Judge every claim of a proposal: prediction, probability, bounds, deciding numbers, decision."""
    from npusim.engine.compiled import ensure_compiled
    from npusim.explore.evaluate.page import evaluation_page
    from npusim.explore.evaluate.proposal import load_proposal
    from npusim.explore.evaluate.run import evaluate as judge
    from npusim.report.page import write_page

    path = Path(proposal)
    asked = load_proposal(path)
    ensure_compiled(say)
    found = judge(asked, path, seed, say)
    record = _manifest(argv, path, found, seed)
    if out is not None:
        notes = caveats(found.deployments[:1], lang)
        write_page(evaluation_page(found, notes, record, speaker(lang), lang), Path(out))
        say(f"wrote {out}")
    if as_json:
        factors = [vars(factor) | {"reason": str(factor.reason)} for factor in found.factors]
        print_json({"claims": found.as_json(), "credibility": factors, "manifest": record})
        return
    _print(found)


def _manifest(argv: list[str], path: Path, found: Evaluation, seed: int) -> dict[str, Any]:
    from npusim.hardware.catalog import calibration_path, runtime_path, system_path
    from npusim.workload.catalog import model_path
    from npusim.workload.formats import formats_path

    calibration = calibration_path(found.arch)
    files = [
        path,
        system_path(found.arch),
        *([] if calibration is None else [calibration]),
        runtime_path(found.deployments[0].runtime.name if found.proposal.runtime is None else found.proposal.runtime),
        *(model_path(claim.model) for claim in found.proposal.claims),
        formats_path(),
    ]
    return build_manifest(argv, seed, files)


def _print(found: Evaluation) -> None:
    from npusim.explore.evaluate.amounts import probability_text
    from npusim.explore.evaluate.demands import needed

    console = stdout_console()
    rows = []
    for claim in found.as_json():
        interval = "-" if claim["low"] is None else f"{figure(claim['low'])} to {figure(claim['high'])}"
        side = claim["side"].replace("_", " ")
        wanted = f"{side} {claim['claimed']:g} {claim['metric']}"
        chance = probability_text(claim["probability"])
        rows.append([claim["claim"], wanted, figure(claim["predicted"]), interval, chance, claim["decision"]])
    headings = ("claim", "claimed", "predicted", "90 % interval", "probability", "decision")
    console.print(table(headings, rows, found.proposal.title, text_columns=2))
    for each in found.judged:
        for broken in each.broken:
            console.print(f"{each.claim.name}: {broken.bound}: needs {broken.need} of {broken.says}.")
        if each.unfit:
            console.print(f"{each.claim.name}: {each.unfit}.")
        for decider in each.deciders if each.decision != "accept" else []:
            wanted = f"would have to be {needed(decider, speaker(ENGLISH))}"
            told = "no value within reach makes it hold alone" if decider.needed is None else wanted
            console.print(f"{each.claim.name} hangs on {decider.owner}.{decider.path}: {told}.")
        if each.together is not None:
            console.print(f"{each.claim.name} {_together_text(each.together)}.")
    for line in caveats(found.deployments[:1]):
        console.print(line)


def _together_text(times: FixedTimes) -> str:
    told = ", ".join(
        f"{each.owner}.{each.path} {each.needed * _US:.4g} us instead of {each.value * _US:.4g}"
        for each in times.longest
    )
    return (
        f"hangs on fixed times together: none alone is enough, all at {100.0 * times.part:.0f} % of what they are "
        f"would be: {told}"
    )
