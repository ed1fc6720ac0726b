"""A run as the predictor and the bounds need it, and what is missing for either.

Bounds take what is not known at its most favourable: the narrowest formats, identical prompts. Predictions need
the model, the chip, the lengths and the users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from npusim.bounds.load import BoundedLoad, load_of
from npusim.errors import UserError
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_runtime, load_system
from npusim.inputs import remembered
from npusim.lab.files.lab_run import LabRun, RunConditions
from npusim.lab.files.naming import shipped_arch, shipped_model, shipped_runtime
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.precision import Precision, resolve_precision

NARROWEST, NARROWEST_KV = "mxfp4", "fp8"
USUAL = "bf16"
_MOST_SIMULATED = 2048
_REQUESTS_PER_USER = 3


@dataclass(frozen=True)
class Placed:
    """arch, model: by npusim's names, None where not known; load: for the bounds; predictor: for the prediction.

    no_load, no_predictor: why there is none. precision_told: whether the number format was given.
    """

    setting: RunConditions
    arch: str | None
    model: Model | None
    load: BoundedLoad | None
    predictor: RunPredictor | None
    no_load: str
    no_predictor: str
    precision_told: bool

    @property
    def chips(self) -> int | None:
        """Chips that worked together, where architecture and cards are known."""
        if self.arch is None or self.setting.cards is None:
            return None
        return self.setting.cards * load_system(self.arch, uncalibrated=True).chips_per_card


def place_run(run: LabRun, given: RunConditions) -> Placed:
    """The run under what the user gave, which wins over what the files say. Raises UserError for a wrong option."""
    setting = given.told_or(run.setting)
    arch = None if setting.device is None else shipped_arch(setting.device)
    model = None if setting.model is None else _model(setting.model)
    told = setting.precision is not None
    missing = _missing(setting, arch, model)
    if missing:
        return Placed(setting, arch, model, None, None, missing, missing, told)
    assert arch is not None and model is not None and setting.isl is not None and setting.osl is not None
    setting = replace(setting, cards=setting.cards or 1)
    placed = Placed(setting, arch, model, None, None, "", "", told)
    placed = replace(placed, load=_load(run, placed))
    predictor = _predictor(run, placed)
    return (
        replace(placed, no_predictor=predictor) if isinstance(predictor, str) else replace(placed, predictor=predictor)
    )


def _missing(setting: RunConditions, arch: str | None, model: Model | None) -> str:
    """What must be known for anything to be checked, as text; "" where all is."""
    if setting.device is None:
        return "the chip is not told; give --arch"
    if arch is None:
        return f"the chip '{setting.device}' is not described; give --arch"
    if setting.model is None:
        return "the model is not told; give --model"
    if model is None:
        return f"no shape of the model '{setting.model}' is shipped; give --model"
    if not setting.isl or not setting.osl:
        return "the input and output lengths are not told"
    return ""


def _model(name: str) -> Model | None:
    shipped = shipped_model(name)
    if shipped is not None:
        return load_model(shipped)
    return load_model(name) if name.endswith(".json") else None


def _load(run: LabRun, placed: Placed) -> BoundedLoad:
    setting, conduct = placed.setting, run.conduct
    assert placed.arch is not None and placed.model is not None and setting.isl and setting.osl
    usual = _precision(placed, setting.precision or USUAL, setting.kv_precision)
    generous = _precision(placed, setting.precision or NARROWEST, setting.kv_precision or NARROWEST_KV)
    isl, osl = max(1, int(setting.isl)), max(1, int(setting.osl))
    load = load_of(placed.arch, placed.model, (generous, usual), placed.chips or 1, isl, osl)
    return replace(
        load,
        users=setting.users,
        requests=conduct.requests if conduct.arrival == "burst" else None,
        prompts_differ=conduct.lengths_fixed and setting.prompts == "different",
        tokens_per_step=conduct.tokens_per_step,
        tensor_parallel=setting.tensor_parallel,
    )


def _precision(placed: Placed, scheme: str, kv: str | None) -> Precision:
    assert placed.arch is not None
    return resolve_precision(scheme, kv or _driver_kv(placed.arch, _runtime(placed)))


@remembered
def _driver_kv(arch: str, runtime: str) -> str:
    return load_runtime(runtime, load_system(arch, uncalibrated=True).chip.unit.kind).kv.precision


def _runtime(placed: Placed) -> str:
    assert placed.arch is not None
    return _driver(placed.arch, placed.setting.runtime)


@remembered
def _driver(arch: str, told: str | None) -> str:
    """The runtime that the files name where one is shipped that drives the chip, else the architecture's own."""
    system = load_system(arch, uncalibrated=True)
    named = None if told is None else shipped_runtime(told)
    if named is not None:
        try:
            load_runtime(named, system.chip.unit.kind)
        except UserError:
            return system.runtime
        return named
    return system.runtime


@remembered
def _no_room(placement: Placement, tokens: int) -> str:
    """Why a request of `tokens` cannot be served, "" where it can."""
    try:
        measured_deployment(placement).require_fit(tokens)
    except UserError as error:
        return str(error)
    return ""


def _predictor(run: LabRun, placed: Placed) -> RunPredictor | str:
    """The run as the predictor takes it, or why it cannot."""
    setting, conduct = placed.setting, run.conduct
    assert placed.arch is not None and placed.model is not None and setting.isl and setting.osl
    if setting.users is None:
        return "the number of users is not told"
    if conduct.arrival == "rate":
        return "requests came at a rate: only bounds are checked"
    if not conduct.lengths_fixed:
        return "the lengths of the requests vary: only bounds are checked"
    placement = Placement(
        placed.arch,
        _runtime(placed),
        shipped_model(setting.model or "") or setting.model or "",
        setting.precision or USUAL,
        setting.cards or 1,
        kv_precision=setting.kv_precision,
        tensor_parallel=setting.tensor_parallel,
    )
    no_room = _no_room(placement, round(setting.isl + setting.osl))
    if no_room:
        return no_room
    users = max(1, round(setting.users))
    requests = min(conduct.requests or conduct.completed or _REQUESTS_PER_USER * users, _largest(users))
    return RunPredictor(placement, round(setting.isl), round(setting.osl), users, requests)


def _largest(users: int) -> int:
    """Requests beyond which a run is steady and more of them change no figure."""
    return max(_MOST_SIMULATED, _REQUESTS_PER_USER * users)
