"""Searching a sweep's space for its front instead of covering it: Optuna's NSGA-II over designs and deployments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from npusim.errors import UserError
from npusim.explore.sweep.selection import keeps, survivors
from npusim.explore.sweep.space import SpaceAxis
from npusim.explore.sweep.spec import Limit, SweepSpec
from npusim.explore.sweep.tables import joined
from npusim.explore.sweep.tasks import (
    DEPLOYED,
    LOADED,
    SweepVariant,
    base_of,
    possible_bases,
    serve_points,
    told_values,
    variants,
    whole_rows,
)
from npusim.publish import MANIFEST, alone_with, require_folder

STUDY, FRONT = "study.db", "optimum.csv"
_VARIANT, _VALUES = "variant", "values"
_REPORTED = 32
_Say = Callable[[str], None]


def optimize(spec: SweepSpec, location: str, out: Path, trials: int, say: _Say) -> pd.DataFrame:
    """Run `trials` more trials of the study in `out` (a new one where there is none); its front, a row a trial.

    An objective is the geometric mean over the workloads of its metric, served where the specification says so. A
    limit holds for every workload. Columns: trial, those of DEPLOYED, the axes (SI), the objectives.

    What a trial draws follows from the seed, its number and the trials before it: a study that goes on draws what it
    would have drawn without a stop. Raises UserError where Optuna is missing, the models are several, the study is of
    another specification, or another process works on it.
    """
    optuna = _optuna()
    if len(spec.models) > 1:
        raise UserError(location, "models", "an optimisation needs one model; give one, or run the sweep itself")
    choices = variants(spec)
    axes = possible_bases(spec, location)[0][0].axes
    require_folder(out, (FRONT, MANIFEST)).mkdir(parents=True, exist_ok=True)
    with alone_with(out / STUDY), _told_in_one_line(out / STUDY):
        study = optuna.create_study(
            study_name=spec.name,
            storage=f"sqlite:///{out / STUDY}",
            load_if_exists=True,
            directions=[{"min": "minimize", "max": "maximize"}[goal] for goal in spec.objectives.values()],
        )
        _require_same(study, spec, location)
        _drop_unfinished(study)
        for done in range(1, trials + 1):
            seed = np.random.SeedSequence([spec.seed, len(study.trials)]).generate_state(1)[0]
            study.sampler = optuna.samplers.NSGAIISampler(seed=int(seed))
            _tell(study, study.ask(), spec, location, choices, axes)
            if done % _REPORTED == 0 or done == trials:
                say(f"optimisation: {done} of {trials} trials")
        return _front(study, spec, choices, axes, location)


@contextlib.contextmanager
def _told_in_one_line(file: Path) -> Iterator[None]:
    """A database that cannot be read or written, as on a full disk, is a UserError."""
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except DatabaseError as error:
        reason = f"{file} cannot be read or written ({error.orig}); give another folder"
        raise UserError("--out", "", reason) from error


def _drop_unfinished(study: Any) -> None:
    """Trials that a killed process had begun are marked as failed: no later one takes them for its parents."""
    for trial in study.get_trials(deepcopy=False, states=[_optuna().trial.TrialState.RUNNING]):
        study.tell(trial.number, state=_optuna().trial.TrialState.FAIL)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError("--optimize", "", "Optuna is not installed; pip install 'npusim[optimize]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _require_same(study: Any, spec: SweepSpec, location: str) -> None:
    text = spec.model_dump_json()
    known = study.user_attrs.get("spec")
    if known is None:
        study.set_user_attr("spec", text)
    elif known != text:
        raise UserError(location, "", "the study in that folder is of another specification; give another folder")


def _tell(
    study: Any, trial: Any, spec: SweepSpec, location: str, choices: list[SweepVariant], axes: list[SpaceAxis]
) -> None:
    variant = choices[trial.suggest_categorical(_VARIANT, list(range(len(choices))))]
    values = _suggested(trial, spec, axes)
    trial.set_user_attr(_VALUES, values.tolist())
    try:
        points = _points(spec, location, variant, values)
    except UserError:
        study.tell(trial, state=_optuna().trial.TrialState.FAIL)
        return
    violations = [_violation(points[name].to_numpy(float), limit) for name, limit in spec.limits.items()]
    figures = [float(np.exp(np.log(points[name].to_numpy(float)).mean())) for name in spec.objectives]
    for name, violation in zip(spec.limits, violations, strict=True):
        trial.set_constraint(name, violation)
    for text in spec.constraints:
        trial.set_constraint(text, 0.0 if keeps([text], points).all() else 1.0)
    if np.isfinite(figures).all():
        study.tell(trial, figures)
    else:
        study.tell(trial, state=_optuna().trial.TrialState.FAIL)


def _suggested(trial: Any, spec: SweepSpec, axes: list[SpaceAxis]) -> np.ndarray:
    """The values of a design, float64 (axes,): a suggestion for each axis of its own and for each table."""
    tables = list(spec.tables)
    values: dict[str, float] = {}
    for axis in axes:
        if axis.formula is not None:
            values[axis.path] = float(axis.formula.of(values))
        elif axis.coordinate is not None and axis.coordinate >= len(spec.vary):
            name = tables[axis.coordinate - len(spec.vary)]
            assert axis.values is not None
            values[axis.path] = float(axis.values[trial.suggest_categorical(name, list(range(len(axis.values))))])
        else:
            values[axis.path] = _suggest(trial, axis)
    return np.array(list(values.values()))


def _suggest(trial: Any, axis: SpaceAxis) -> float:
    if axis.values is not None:
        return float(trial.suggest_categorical(axis.path, axis.values.tolist()))
    return float(trial.suggest_float(axis.path, axis.low, axis.high, log=axis.is_log))


def _points(spec: SweepSpec, location: str, variant: SweepVariant, values: np.ndarray) -> pd.DataFrame:
    """The metrics of one design under every workload, a row each; served figures NaN where it does not survive."""
    base = base_of(spec, variant, location)
    rows = []
    for load in spec.workloads:
        for users in load.users:
            row = {"design": 0} | base.keys(variant) | dict(zip(LOADED, (load.isl, load.osl, users), strict=True))
            row |= dict(base.estimated(values[np.newaxis], load.isl, load.osl, users).iloc[0])
            row |= dict(told_values(base.axes, values[np.newaxis]).iloc[0])
            rows.append(row)
    points = whole_rows(spec, pd.DataFrame(rows))
    if spec.serving is None:
        return points
    alive = points[survivors(spec, points)]
    return joined(points, serve_points(spec, location, alive))


def _violation(values: np.ndarray, limit: Limit) -> float:
    """How far the worst workload is beyond a limit, in logarithms; 0 or less where all keep it."""
    beyond = [np.full(len(values), -np.inf)]
    if limit.max is not None:
        beyond.append(np.log(values / limit.max))
    if limit.min is not None:
        beyond.append(np.log(limit.min / values))
    worst = float(np.max(beyond))
    return worst if np.isfinite(worst) else 1.0


def _front(
    study: Any, spec: SweepSpec, choices: list[SweepVariant], axes: list[SpaceAxis], location: str
) -> pd.DataFrame:
    rows = []
    for trial in study.best_trials:
        variant = choices[trial.params[_VARIANT]]
        keys = base_of(spec, variant, location).keys(variant)
        values = dict(told_values(axes, np.array([trial.user_attrs[_VALUES]])).iloc[0])
        rows.append({"trial": trial.number} | keys | values | dict(zip(spec.objectives, trial.values, strict=True)))
    columns = ["trial", *DEPLOYED, *(axis.path for axis in axes), *spec.objectives]
    return pd.DataFrame(rows, columns=columns)
