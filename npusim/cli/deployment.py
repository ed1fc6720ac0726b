"""What a prediction is about: the deployment that the options ask for, in words and figures, and its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.cli.options import Setup
from npusim.cli.output import figure, table
from npusim.errors import UserError
from npusim.manifest import build_manifest
from npusim.words import ENGLISH, Phrase, speaker

if TYPE_CHECKING:
    from rich.console import Console

    from npusim.mapping.deployment import Deployment
    from npusim.serving.planning import Found, Wish

AUTO = "auto"
WATTS = Phrase("Watts and joules are those of the cards: no server, no wall socket.")


def deployment_of(arch: str, model: str, setup: Setup, tokens: int) -> Deployment:
    """The deployment in which a request of `tokens` is to have room. Raises UserError."""
    from npusim.mapping.deployment import deploy

    return deploy(
        arch,
        model,
        precision=setup.precision,
        kv_precision=setup.kv_precision,
        cards=setup.cards,
        tensor_parallel=setup.tensor_parallel,
        plan=asked_plan(setup),
        runtime=setup.runtime,
        tokens=tokens,
        uncalibrated=setup.uncalibrated,
        offload=setup.offload,
    )


def asked_plan(setup: Setup) -> str | None:
    """The plan that is asked for by name or file; None without one, and where the best is to be found."""
    if setup.plan is None or setup.plan == AUTO:
        return None
    if setup.tensor_parallel is not None or isinstance(setup.cards, int):
        raise UserError("--plan", setup.plan, "says cards and chips itself; leave --cards and --tp out")
    return setup.plan


def wish_of(setup: Setup) -> Wish | None:
    """What `--plan auto` is to be best in; None where no plan is to be found."""
    if setup.plan != AUTO:
        if setup.ttft_limit_ms is not None or setup.tpot_limit_ms is not None:
            raise UserError("--plan", "", "limits need a plan to be found; add --plan auto")
        return None
    if setup.tensor_parallel is not None:
        raise UserError("--tp", "", "--plan auto finds it; leave --tp out, or give a plan such as tp4-dp2")
    from npusim.serving.planning import Wish

    cards = setup.cards if isinstance(setup.cards, int) else None
    return Wish(setup.objective, setup.ttft_limit_ms, setup.tpot_limit_ms, cards)


def configuration(deployment: Deployment) -> dict[str, Any]:
    """The deployment as plain JSON values."""
    return {
        "arch": deployment.system.name,
        "silicon": deployment.system.silicon,
        "model": deployment.model.name,
        "precision": deployment.precision.name,
        "kv_precision": deployment.precision.kv,
        "cards": deployment.plan.cards,
        "chips": deployment.plan.tensor_parallel,
        "plan": deployment.plan.as_dict(),
        "runtime": deployment.runtime.name,
        "calibrated": deployment.calibration is not None,
        **({} if deployment.system.chip.pim is None else {"offload": deployment.offload}),
    }


def configuration_text(deployment: Deployment) -> str:
    """The deployment in one line."""
    system, precision, cards = deployment.system, deployment.precision, deployment.plan.cards
    return (
        f"{deployment.model.title} in {precision.name} with {precision.kv} KV on {cards} x {system.title} "
        f"({deployment.plan.name}, {deployment.runtime.name})"
    )


def print_front(console: Console, found: Found) -> None:
    """The plans that none beats, the chosen one marked."""
    chosen = found.best.plan
    rows = [
        [
            f"{score.plan.name}{' *' if score.plan == chosen else ''}",
            str(score.plan.cards),
            figure(score.ttft_ms, 1),
            figure(score.tpot_ms),
            figure(score.output_tokens_per_s, 1),
            figure(score.tokens_per_joule, 3),
            score.bound,
        ]
        for score in found.front
    ]
    headings = ("plan", "cards", "TTFT [ms]", "TPOT [ms]", "tokens/s", "tokens/J", "decode bound")
    title = f"Of {found.considered:,} plans {found.without_room:,} have no room; those that no other beats"
    console.print(table(headings, rows, title))


def caveats(deployments: Iterable[Deployment], language: str = ENGLISH) -> list[str]:
    """What every reader of a prediction must know: the scope of watts, what is a projection, calibration."""
    from npusim.hardware.calibration import calibration_text

    known, say = list(deployments), speaker(language)
    projections = [
        say("{title} has no measured silicon: this is a projection.", title=where.system.title)
        for where in known
        if not where.system.silicon
    ]
    told = {
        where.system.title: calibration_text(where.calibration, where.runtime.name).in_words_of(say) for where in known
    }
    several = len(set(told.values())) > 1
    calibrations = [f"{title}: {text}." for title, text in told.items()] if several else _sentences(told.values())
    return [WATTS.in_words_of(say), *projections, *calibrations]


def _sentences(texts: Iterable[str]) -> list[str]:
    return [f"{text[:1].upper()}{text[1:]}." for text in dict.fromkeys(texts)]


def manifest(
    argv: Sequence[str],
    setup: Setup,
    archs: Sequence[str],
    models: Sequence[str],
    grid: str | None = None,
) -> dict[str, Any]:
    """The manifest of a prediction with every file that it was read from."""
    from npusim.hardware.catalog import calibration_path, load_system, runtime_path, system_files
    from npusim.hardware.named import files_behind
    from npusim.workload.catalog import model_path
    from npusim.workload.formats import formats_path
    from npusim.workload.grid import grid_path

    described = [file for arch in archs for file in system_files(arch)]
    files: list[Path] = [file for path in described for file in files_behind("", path)]
    if not setup.uncalibrated:
        files += [path for arch in archs if (path := calibration_path(arch)) is not None]
    runtimes = [setup.runtime or load_system(arch, uncalibrated=True).runtime for arch in archs]
    files += [file for name in runtimes for file in files_behind("runtimes", runtime_path(name))]
    files += [model_path(model) for model in models]
    files.append(formats_path())
    if grid is not None:
        files.append(grid_path(grid))
    return build_manifest(argv, setup.seed, files)
