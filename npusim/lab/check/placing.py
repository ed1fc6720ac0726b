"""A run as the bounds and the predictor need it, and what is missing for either.

What is not told is a set of members (`conditions`). Bounds cannot tell all of them apart: what they see of one is its
footing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import product

from npusim.bounds.load import BoundedLoad, load_of
from npusim.conditions.conditions import Conditions, Member
from npusim.conditions.question import Question
from npusim.conditions.table import words_of
from npusim.errors import UserError
from npusim.evidence.measured.case import drivers
from npusim.evidence.measured.placement import Placement, measured_deployment
from npusim.evidence.predictors.run import RunPredictor
from npusim.hardware.catalog import load_system, runtime_path
from npusim.hardware.drafting import read_drafting
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import drives
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.lab.files.lab_run import RATE, Conduct, LabRun, RunConditions
from npusim.lab.files.naming import shipped_arch, shipped_runtime
from npusim.workload.arrivals import STAGGERED
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.model_names import shipped_model
from npusim.workload.precision import SCHEMES, resolve_precision

NARROWEST, NARROWEST_KV = "mxfp4", "fp8"
USUAL = "bf16"
_MOST_SIMULATED = 2048
_REQUESTS_PER_USER = 3


@dataclass(frozen=True)
class Footing:
    """What bounds can tell of a run: formats, cards, and whether prompts may share their KV. None: it plays no part."""

    precision: str | None
    kv_precision: str | None
    cards: int
    alike: bool | None

    @classmethod
    def of(cls, member: Member) -> Footing:
        """The footing of a member."""
        return cls(member["precision"], member["kv_precision"], member["cards"], is_cached(member))

    def text(self, told: Conditions) -> str:
        """What of it is not told, in words."""
        known = [
            words_of(name, value)
            for name in ("precision", "kv_precision", "cards")
            if (value := getattr(self, name)) is not None and getattr(told, name) is None
        ]
        return " and ".join([*known, *(["prompts cached"] if self.alike and told.prompts is None else [])])


@dataclass(frozen=True)
class Placed:
    """arch, model: by npusim's names, None where not known; conditions: told ones by npusim's names, for `question`.

    no_load, no_prediction: why bounds of a model, or a prediction, say nothing; "" where they do. assumed: the member
    that is meant where one is wanted, None without any.
    """

    setting: RunConditions
    arch: str | None
    model: Model | None
    conditions: Conditions
    question: Question | None
    assumed: Member | None
    no_load: str
    no_prediction: str

    @property
    def chips(self) -> int | None:
        """Chips that worked together, where architecture and cards are told."""
        if self.arch is None or self.setting.cards is None:
            return None
        return self.chips_of(self.setting.cards)

    def chips_of(self, cards: int) -> int:
        """Chips of so many cards."""
        assert self.arch is not None
        return cards * load_system(self.arch, uncalibrated=True).chips_per_card


def place_run(run: LabRun, given: RunConditions) -> Placed:
    """The run under what the user gave, which wins over what the files say. Raises UserError for a wrong option."""
    setting = given.told_or(run.setting)
    arch = None if setting.device is None else shipped_arch(setting.device)
    model = None if setting.model is None else _model(setting.model)
    missing = _missing(setting, arch, model)
    conditions = _conditions(setting, arch)
    if missing:
        return Placed(setting, arch, model, conditions, None, None, missing, missing)
    assert arch is not None and setting.isl and setting.osl
    name = shipped_model(setting.model or "") or setting.model or ""
    question = Question(arch, name, _power_of_two_below(setting.isl + setting.osl), _beyond_limits(arch, setting.users))
    placed = Placed(setting, arch, model, conditions, question, None, "", _unpredicted(run, setting))
    try:
        return replace(placed, assumed=conditions.assumed(question))
    except UserError as error:
        return replace(placed, no_prediction=placed.no_prediction or str(error))


def _missing(setting: RunConditions, arch: str | None, model: Model | None) -> str:
    """What must be known for the model to be checked, as text; "" where all is."""
    if setting.device is None:
        return "the chip is not told; give --arch"
    if arch is None:
        return f"the chip '{setting.device}' is not described; give --arch"
    if setting.model is None:
        return "the model is not told; give --model"
    if model is None:
        return f"no shape of the model '{setting.model}' is shipped; give --model"
    if not setting.isl or not setting.osl:
        return "the input and output lengths are not told; give --isl and --osl"
    return ""


def _unpredicted(run: LabRun, setting: RunConditions) -> str:
    """Why there is no prediction of the run, "" where there is."""
    if setting.users is None:
        return "the number of users is not told; give --users"
    if run.conduct.drafts_reported and setting.speculation is None:
        return "tokens were drafted, but not how; give --speculate: only bounds are checked"
    if run.conduct.arrival == RATE:
        return "requests came at a rate: only bounds are checked"
    if run.conduct.lengths_fixed or setting.lengths is not None:
        return ""
    return "the lengths of the requests vary, it is not told how (--lengths): only bounds are checked"


def _beyond_limits(arch: str, users: float | None) -> int | None:
    """The users where they are more than some runtime takes into service, else None: fewer ask for the same members."""
    return None if users is None or users <= _least_limit(arch) else round(users)


@remembered
def _least_limit(arch: str) -> float:
    return min(driver.limits.max_sequences.value for driver in drivers(load_system(arch, uncalibrated=True)))


def _power_of_two_below(tokens: float) -> int:
    """Room that is asked for at least: rows of like lengths then ask for the same members."""
    return 1 << (max(1, int(tokens)).bit_length() - 1)


def _model(name: str) -> Model | None:
    shipped = shipped_model(name)
    if shipped is not None:
        return load_model(shipped)
    return load_model(name) if name.endswith(".json") else None


def _conditions(setting: RunConditions, arch: str | None) -> Conditions:
    """What is told, with the runtime by npusim's name, that for the chip of its name where there are several; open
    where no shipped one is named that drives the chip."""
    told = {each.name: getattr(setting, each.name) for each in fields(Conditions)}
    return Conditions(**told | {"runtime": _driver(arch, setting.runtime)})


@remembered
def _driver(arch: str | None, told: str | None) -> str | None:
    named = None if told is None or arch is None else shipped_runtime(told)
    if named is None or arch is None:
        return None
    system = load_system(arch, uncalibrated=True)
    if drives(load_yaml(runtime_path(named), Runtime), system):
        return named
    return system.runtime if _family(system.runtime) == _family(named) else None


def _family(runtime: str) -> str:
    """What labs call a runtime, whatever its chip: vllm of vllm-rocm."""
    return runtime.partition("-")[0]


def is_cached(member: Member) -> bool:
    """Whether prompts are found in the prefix cache."""
    return bool(member["prompts"] == "alike" and member["prefix_caching"])


def footings(placed: Placed, members: Iterable[Member]) -> list[Footing]:
    """All that bounds can tell apart: of the members, else of every format on the told cards."""
    found = list(dict.fromkeys(Footing.of(member) for member in members))
    return found or list(_described(placed))


def _described(placed: Placed) -> Iterator[Footing]:
    """Without members: formats that a run may have had on the told cards; without a model, cards alone."""
    told = placed.conditions
    if placed.arch is None:
        return
    if placed.question is None:
        most = load_system(placed.arch, uncalibrated=True).max_cards
        numbers = [1 << power for power in range(most.bit_length())] if told.cards is None else [told.cards]
        yield from (Footing(None, None, cards, None) for cards in numbers)
    elif told.cards is not None:
        schemes = SCHEMES if told.precision is None else (told.precision,)
        kept = (USUAL, NARROWEST_KV) if told.kv_precision is None else (told.kv_precision,)
        alike = (
            (False, True) if told.prompts is None and told.prefix_caching is not False else (told.prompts == "alike",)
        )
        yield from (Footing(*each) for each in product(schemes, kept, (told.cards,), alike))


def load_on(run: LabRun, placed: Placed, footing: Footing) -> BoundedLoad | None:
    """The run on a footing, as the bounds take it; None without a model."""
    if placed.question is None or footing.precision is None:
        return None
    formats = footing.precision, footing.kv_precision or USUAL
    return _load(run, placed, (formats, formats), footing.cards, footing.alike is False)


def usual_load(run: LabRun, placed: Placed) -> BoundedLoad | None:
    """The run on the assumed cards: generous in the narrowest formats where none are told, usual in assumed ones."""
    member, setting = placed.assumed, placed.setting
    if member is None:
        return None
    generous = setting.precision or NARROWEST, setting.kv_precision or NARROWEST_KV
    usual = member["precision"], member["kv_precision"]
    return _load(run, placed, (generous, usual), member["cards"], setting.prompts == "different")


def _load(
    run: LabRun, placed: Placed, formats: tuple[tuple[str, str], tuple[str, str]], cards: int, differ: bool
) -> BoundedLoad:
    setting, conduct = placed.setting, run.conduct
    assert placed.arch is not None and placed.model is not None and setting.isl and setting.osl
    schemes = resolve_precision(*formats[0]), resolve_precision(*formats[1])
    isl, osl = max(1, int(setting.isl)), max(1, int(setting.osl))
    load = load_of(placed.arch, placed.model, schemes, placed.chips_of(cards), isl, osl)
    return replace(
        load,
        users=setting.users,
        requests=conduct.requests if conduct.arrival == "burst" else None,
        prompts_differ=conduct.lengths_fixed and differ,
        tokens_per_step=_most_a_step(setting, conduct),
        drafts_open=setting.speculation is None and conduct.tokens_per_step == 1.0,
        tensor_parallel=setting.tensor_parallel,
    )


def _most_a_step(setting: RunConditions, conduct: Conduct) -> float:
    """Most tokens of a step: those that were drafted and one more, fewer where the files tell the mean."""
    if setting.speculation is None:
        return conduct.tokens_per_step
    drafting = read_drafting(setting.speculation)
    most = 1.0 if drafting is None else 1.0 + drafting.tokens
    return min(most, conduct.tokens_per_step) if conduct.tokens_per_step > 1.0 else most


def predictor_of(run: LabRun, placed: Placed, member: Member) -> RunPredictor | str:
    """The run under a member as the predictor takes it, or why it cannot."""
    setting, conduct, cached = placed.setting, run.conduct, is_cached(member)
    assert placed.question is not None and setting.isl and setting.osl and setting.users
    placement = Placement(
        placed.question.arch,
        member["runtime"],
        placed.question.model,
        member["precision"],
        member["cards"],
        kv_precision=member["kv_precision"],
        plan=member["plan"],
        sequences=member["max_sequences"],
        prefix_caching=True if cached else None,
        drafting=read_drafting(member["speculation"]),
    )
    no_room = _no_room(placement, round(setting.isl + setting.osl))
    if no_room:
        return no_room
    users = max(1, round(setting.users))
    requests = min(conduct.requests or conduct.completed or _REQUESTS_PER_USER * users, _largest(users))
    return RunPredictor(
        placement,
        round(setting.isl),
        round(setting.osl),
        users,
        requests,
        same_prompt=cached,
        lengths=member["lengths"],
        windowed=member["start"] == STAGGERED,
    )


@remembered
def _no_room(placement: Placement, tokens: int) -> str:
    """Why a request of `tokens` cannot be served, "" where it can."""
    try:
        measured_deployment(placement).require_fit(tokens)
    except UserError as error:
        return str(error)
    return ""


def _largest(users: int) -> int:
    """Requests beyond which a run is steady and more of them change no figure."""
    return max(_MOST_SIMULATED, _REQUESTS_PER_USER * users)
