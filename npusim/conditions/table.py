"""The table of conditions: a row for each, with the values that it can have where it is not told.

The rows stand in the order in which they are chosen: what a condition can be depends on those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npusim import dtypes
from npusim.conditions.question import Question
from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system, shipped_runtimes
from npusim.hardware.drafting import NONE, OPTION, read_drafting
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime import Runtime
from npusim.inputs import remembered
from npusim.mapping.deployment import deploy
from npusim.mapping.drafter import drafter_of
from npusim.mapping.fitting import Fitting
from npusim.mapping.plan import Plan
from npusim.mapping.plan_file import read_plan
from npusim.workload.arrivals import TOGETHER
from npusim.workload.lengths import FIXED
from npusim.workload.precision import SCHEMES

Chosen = Mapping[str, Any]
"""Values of the conditions before this one."""
_KV_FORMATS = ("bf16", "fp8")


def _allowed(question: Question, chosen: Chosen, value: Any) -> str:
    return ""


@dataclass(frozen=True)
class Condition:
    """name: its field in Conditions; title: for people; values: what it can be, the usual value first; refusal: why a
    value cannot be beside those chosen before, "" where it can; none_says: why there may be no value at all;
    words: a value in a few words; option: the command-line option that tells it."""

    name: str
    title: str
    values: Callable[[Question, Chosen], Sequence[Any]]
    words: Callable[[Any], str]
    option: str
    refusal: Callable[[Question, Chosen, Any], str] = _allowed
    none_says: str = ""


def _runtimes(question: Question, chosen: Chosen) -> Sequence[str]:
    """The architecture's own runtime, and the other shipped ones that drive its chips."""
    system = question.system
    others = [name for name in shipped_runtimes() if name != system.runtime and not _foreign(question, name)]
    return system.runtime, *others


@remembered
def _foreign(question: Question, runtime: str) -> str:
    """Why a runtime cannot drive the architecture's chips, "" where it can."""
    system = question.system
    try:
        driver = load_runtime(runtime, system.chip.unit.kind)
        deploy(question.arch, question.model, tensor_parallel=1, runtime=runtime, uncalibrated=True)
    except UserError as error:
        return str(error)
    return "" if driver.offload is None or system.chip.pim is not None else f"{runtime} is for memories with PIM units"


def _driver(question: Question, chosen: Chosen) -> Runtime:
    return load_runtime(chosen["runtime"], question.system.chip.unit.kind)


def _schemes(question: Question, chosen: Chosen) -> Sequence[str]:
    """The schemes whose products the chip multiplies: the maker's own first where the checkpoint has one."""
    own = question.shape.checkpoint.scheme if question.shape.checkpoint else None
    return sorted(
        (name for name in SCHEMES if not _not_multiplied(question, chosen, name)), key=lambda name: name != own
    )


def _not_multiplied(question: Question, chosen: Chosen, scheme: str) -> str:
    weights, activations = SCHEMES[scheme]
    if _multiplies(question.arch, weights, activations):
        return ""
    return f"{question.arch} does not multiply {weights} by {activations}"


@remembered
def _multiplies(arch: str, weights: str, activations: str) -> bool:
    table = build_machine(load_system(arch, uncalibrated=True))[0]["multiplies"]
    return bool(table[dtypes.code(weights), dtypes.code(activations)] != dtypes.NOT_MULTIPLIED)


def _kv_formats(question: Question, chosen: Chosen) -> Sequence[str]:
    return tuple(dict.fromkeys((_driver(question, chosen).kv.precision, *_KV_FORMATS)))


def _cards(question: Question, chosen: Chosen) -> Sequence[int]:
    """The smallest power of two of cards that holds the model, and twice it up to the most that join in an instance."""
    most = question.system.max_cards
    powers = [1 << power for power in range(most.bit_length())]
    return [
        cards for cards in powers if any(_lacks_room(question, chosen, plan) == "" for plan in _on(question, cards))
    ]


def _widths(question: Question, chosen: Chosen) -> Sequence[int]:
    """Chips that share every layer: all of the cards' first, then halves of it."""
    return tuple(dict.fromkeys(plan.tensor_parallel for plan in _on(question, chosen["cards"])))


def _plans(question: Question, chosen: Chosen) -> Sequence[str]:
    """Replicas, or stages, of the chips that share a layer, until all cards have a part."""
    plans = [plan for plan in _on(question, chosen["cards"]) if plan.tensor_parallel == chosen["tensor_parallel"]]
    return [plan.name for plan in plans if _lacks_room(question, chosen, plan) == ""]


@remembered
def _on(question: Question, cards: int) -> list[Plan]:
    """Plans that use all of those cards."""
    chips, heads = cards * question.system.chips_per_card, question.shape.heads
    widths = [chips >> power for power in range(chips.bit_length()) if chips % (1 << power) == 0]
    widths = [width for width in widths if width <= heads]
    whole = [Plan(width, cards, data_parallel=chips // width) for width in widths]
    staged = [
        Plan(width, cards, pipeline_parallel=chips // width, micro_batches=chips // width)
        for width in widths
        if width < chips and chips // width <= question.shape.layers
    ]
    return [*whole, *staged]


def _not_on_cards(question: Question, chosen: Chosen, cards: int) -> str:
    most = question.system.max_cards
    return "" if 1 <= cards <= most else f"{question.arch} joins 1 to {most} cards in one instance, not {cards}"


def _too_wide(question: Question, chosen: Chosen, width: int) -> str:
    chips = chosen["cards"] * question.system.chips_per_card
    return "" if width <= chips else f"{width} chips cannot share a layer where there are {chips}"


def _other_plan(question: Question, chosen: Chosen, name: str) -> str:
    """Why a told plan is not one of the cards and chips chosen before it, "" where it is."""
    plan = read_plan(name, question.system, question.shape)
    if (plan.cards, plan.tensor_parallel) != (chosen["cards"], chosen["tensor_parallel"]):
        return f"{plan.name} takes {plan.cards} card{'s' * (plan.cards > 1)}"
    return _lacks_room(question, chosen, plan)


@remembered
def _fitting(question: Question, runtime: str, precision: str, kv_precision: str) -> Fitting:
    return deploy(
        question.arch,
        question.model,
        precision=precision,
        kv_precision=kv_precision,
        tensor_parallel=1,
        runtime=runtime,
        uncalibrated=True,
    ).fitting


def _lacks_room(question: Question, chosen: Chosen, plan: Plan) -> str:
    fitting = _fitting(question, chosen["runtime"], chosen["precision"], chosen["kv_precision"])
    refused = fitting.refusal(plan)
    if refused:
        return f"{plan.name}: {chosen['runtime']} {refused}"
    return "" if fitting.holds(plan, question.tokens) else f"{plan.name} has no room for {question.tokens:,} tokens"


def _most_sequences(question: Question, chosen: Chosen) -> Sequence[int]:
    """The runtime's own limit; and no limit below the users, since labs raise it for their runs."""
    own = int(_driver(question, chosen).limits.max_sequences.value)
    return (own, question.users) if question.users is not None and question.users > own else (own,)


def _caching(question: Question, chosen: Chosen) -> Sequence[bool]:
    own = _driver(question, chosen).kv.prefix_caching
    return own, not own


def _prompts(question: Question, chosen: Chosen) -> Sequence[str]:
    """Random ones; the same one where the runtime keeps it, without which both are alike."""
    return ("different", "alike") if chosen["prefix_caching"] else ("different",)


def _not_drafted(question: Question, chosen: Chosen, told: str) -> str:
    """Why tokens cannot be drafted so for the model, "" where they can."""
    try:
        drafter_of(read_drafting(told), question.shape, chosen["kv_precision"])
    except UserError as error:
        return str(error)
    return ""


CONDITIONS = (
    Condition("runtime", "Serving software", _runtimes, str, "--runtime", lambda q, c, v: _foreign(q, v)),
    Condition(
        "precision",
        "Number format",
        _schemes,
        str,
        "--precision",
        _not_multiplied,
        "the chip multiplies no known format",
    ),
    Condition("kv_precision", "KV format", _kv_formats, lambda value: f"KV in {value}", "--kv-precision"),
    Condition(
        "cards",
        "Cards",
        _cards,
        lambda value: f"{value} card{'s' * (value > 1)}",
        "--cards",
        _not_on_cards,
        "no number of cards of one instance holds the model",
    ),
    Condition(
        "tensor_parallel", "Chips that share every layer", _widths, lambda value: f"TP{value}", "--tp", _too_wide
    ),
    Condition(
        "plan", "Parallel plan", _plans, str, "--plan", _other_plan, "no plan on those cards and chips holds the model"
    ),
    Condition("max_sequences", "Batch limit", _most_sequences, lambda value: f"at most {value} in service", ""),
    Condition("prefix_caching", "Prefix cache", _caching, lambda value: f"prefix cache {'on' if value else 'off'}", ""),
    Condition("prompts", "Prompts", _prompts, lambda value: f"{value} prompts", ""),
    Condition("lengths", "Spread of the lengths", lambda q, c: (FIXED.text,), lambda value: f"{value} lengths", ""),
    Condition(
        "start", "Start of the users", lambda q, c: (TOGETHER,), lambda value: f"users start {value}", "--arrival"
    ),
    Condition(
        "speculation",
        "Speculative decoding",
        lambda q, c: (NONE,),
        lambda value: "a token a step" if value == NONE else f"drafts {value}",
        OPTION,
        _not_drafted,
    ),
)
"""All conditions of a run."""


def words_of(name: str, value: Any) -> str:
    """The value of a condition in a few words."""
    return next(each for each in CONDITIONS if each.name == name).words(value)
