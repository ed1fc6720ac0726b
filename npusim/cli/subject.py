"""What a prediction is about: the deployment that the options ask for, in words and figures, and its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.cli.options import Setup
from npusim.manifest import build_manifest

if TYPE_CHECKING:
    from npusim.mapping.deployment import Deployment

WATTS = "Watts and joules are those of the cards: no server, no wall socket."


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
        runtime=setup.runtime,
        tokens=tokens,
        uncalibrated=setup.uncalibrated,
    )


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
        "runtime": deployment.runtime.name,
        "calibrated": deployment.overlay is not None,
    }


def configuration_text(deployment: Deployment) -> str:
    """The deployment in one line."""
    system, precision, cards = deployment.system, deployment.precision, deployment.plan.cards
    return (
        f"{deployment.model.title} in {precision.name} with {precision.kv} KV on {cards} x {system.title} "
        f"({deployment.plan.name}, {deployment.runtime.name})"
    )


def caveats(deployments: Iterable[Deployment]) -> list[str]:
    """What every reader of a prediction must know: the scope of watts, what is a projection, calibration."""
    from npusim.hardware.overlay import calibration_text

    known = list(deployments)
    projections = [
        f"{where.system.title} has no measured silicon: this is a projection."
        for where in known
        if not where.system.silicon
    ]
    told = {where.system.title: calibration_text(where.overlay, where.runtime.name) for where in known}
    several = len(set(told.values())) > 1
    calibrations = [f"{title}: {text}." for title, text in told.items()] if several else _sentences(told.values())
    return [WATTS, *projections, *calibrations]


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
    from npusim.hardware.catalog import calibration_path, load_system, runtime_path, system_path
    from npusim.workload.catalog import model_path
    from npusim.workload.formats import formats_path
    from npusim.workload.grid import grid_path

    files: list[Path] = [system_path(arch) for arch in archs]
    if not setup.uncalibrated:
        files += [path for arch in archs if (path := calibration_path(arch)) is not None]
    files += [runtime_path(setup.runtime or load_system(arch, uncalibrated=True).runtime) for arch in archs]
    files += [model_path(model) for model in models]
    files.append(formats_path())
    if grid is not None:
        files.append(grid_path(grid))
    return build_manifest(argv, setup.seed, files)
