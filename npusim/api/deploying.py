"""What most predictions are asked: a model, how it is deployed on an architecture, and by which plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Json
from npusim.api.options import Argument, Declared, Option, Options, declared_options, warn_of
from npusim.errors import UserError
from npusim.hardware.states import State

if TYPE_CHECKING:
    from npusim.hardware.drafting import Drafting
    from npusim.mapping.deployment import Deployment, DeployWords
    from npusim.serving.planning import Found, Wish

_AUTO = "auto"
NO_CONDITIONS: Mapping[str, str] = MappingProxyType({})
"""Of a load that tells none."""
_MOST_SEED = 2**63 - 1

Arch = Annotated[str, Argument("A shipped architecture, an alias or the path of a description.")]
ModelName = Annotated[str, Argument("A shipped model, an alias or the path of a config.json.")]
Seed = Annotated[int, Option("Seed of all random draws.", metavar="N", least=0, most=_MOST_SEED)]
Uncalibrated = Annotated[bool, Option("Ignore the architecture's calibration to measured runs.")]
SoftwareState = Annotated[
    State | None,
    Option(
        "State of the software: as labs ran it, tuned as its makers can, or open between the two.",
        default="as-labs-ran on a chip that exists, open on a projection",
    ),
]
Interval = Annotated[bool, Option("Give the figures with their 90 % intervals.")]
Cards = Annotated[
    int | str | None,
    Option(
        "Cards that serve one instance; auto takes the smallest power of two that holds the model.",
        metavar="N|auto",
        default="the architecture's usual ones",
    ),
]


TakenFor = Annotated[
    str | None,
    Option(
        "Family whose layers the model has, in place of the one that its file names.",
        names=("--as",),
        metavar="FAMILY",
        default="the file's",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Placing(Options):
    """How a model is deployed on an architecture."""

    precision: Annotated[
        str | None,
        Option(
            "Number format of weights and activations: bf16, fp8, int8, w8a16, w4a16, w4a8, mxfp4, nvfp4 or nvfp4a16.",
            metavar="SCHEME",
            default="the checkpoint's",
        ),
    ] = None
    kv_precision: Annotated[
        str | None,
        Option(
            "Number format of the KV cache: bf16, fp8 or int8.",
            metavar="FORMAT",
            default="the checkpoint's, else the runtime's",
        ),
    ] = None
    cards: Cards = None
    tensor_parallel: Annotated[
        int | None, Option("Chips that share every layer.", names=("--tp",), metavar="N", default="all")
    ] = None
    plan: Annotated[
        str | None,
        Option(
            "Degrees of tensor (tp), pipeline (pp), expert (ep) and data (dp) parallelism, in place of --cards and "
            "--tp.",
            metavar="tp4-pp2|FILE",
        ),
    ] = None
    runtime: Annotated[
        str | None, Option("Serving runtime by its name or path.", metavar="NAME|PATH", default="the architecture's")
    ] = None
    software: SoftwareState = None
    uncalibrated: Uncalibrated = False


@dataclass(frozen=True, kw_only=True)
class Deploying(Placing):
    """How a model is deployed, by the best of all plans where that is asked for, and what goes to PIM units."""

    plan: Annotated[
        str | None,
        Option(
            "Degrees of tensor (tp), pipeline (pp), expert (ep) and data (dp) parallelism, in place of --cards and "
            "--tp, or auto for the best of all plans.",
            metavar="auto|tp4-pp2|FILE",
        ),
    ] = None
    objective: Annotated[
        Literal["throughput", "tpot", "efficiency"],
        Option(
            "What --plan auto optimises: output tokens/s, least time per token, or tokens per joule.",
            only_with=("plan", _AUTO),
        ),
    ] = "throughput"
    ttft_limit_ms: Annotated[
        float | None,
        Option(
            "Highest TTFT that --plan auto may choose, in ms.",
            names=("--ttft-limit",),
            metavar="MS",
            least=0,
            only_with=("plan", _AUTO),
        ),
    ] = None
    tpot_limit_ms: Annotated[
        float | None,
        Option(
            "Highest TPOT that --plan auto may choose, in ms.",
            names=("--tpot-limit",),
            metavar="MS",
            least=0,
            only_with=("plan", _AUTO),
        ),
    ] = None
    offload: Annotated[
        Literal["none", "linear", "attention", "both"] | None,
        Option("What may go to PIM units, where they are faster.", default="the runtime's policy"),
    ] = None
    speculation: Annotated[
        str | None,
        Option(
            "How tokens are drafted that each step verifies: a file or the name of a shipped way, its draft model, the "
            "number of tokens and their chances of acceptance.",
            names=("--speculate",),
            metavar="FILE|ngram:k=4|draft:MODEL:k=5|eagle:k=3:a=0.8,0.7|mtp:k=1",
            default="none: a token a step",
        ),
    ] = None

    @property
    def wish(self) -> Wish | None:
        """What the plan of `plan` auto is to be best in; None where no plan is to be found. Raises UserError."""
        if self.plan != _AUTO:
            return None
        if self.tensor_parallel is not None:
            raise UserError("--tp", "", "--plan auto finds it; leave --tp out, or give a plan such as tp4-dp2")
        from npusim.serving.planning import Wish

        cards = self.cards if isinstance(self.cards, int) else None
        return Wish(self.objective, self.ttft_limit_ms, self.tpot_limit_ms, cards)


def asked_plan(asked: Placing) -> str | None:
    """The plan that is asked for by name or file; None without one, and where the best is to be found."""
    if asked.plan is None or (asked.plan == _AUTO and isinstance(asked, Deploying)):
        return None
    if asked.tensor_parallel is not None or isinstance(asked.cards, int):
        raise UserError("--plan", asked.plan, "says cards and chips itself; leave --cards and --tp out")
    return asked.plan


def deployed(asked: Placing, arch: str, model: str, tokens: int, family: str | None = None) -> Deployment:
    """The deployment in which a request of `tokens` is to have room. Raises UserError.

    family: whose layers the model is taken to have.
    """
    from npusim.mapping.deployment import deploy
    from npusim.workload.catalog import taken_for

    model = taken_for(model, family)

    if asked.uncalibrated:
        warn_without_calibration(arch)
    warn_of_other_format(model, asked.precision)
    return deploy(arch, model, tokens=tokens, **deploy_words(asked))


def deploy_words(asked: Placing) -> DeployWords:
    """What `deploy` is told beside architecture, model and tokens."""
    is_sought = isinstance(asked, Deploying) and asked.plan == _AUTO
    return {
        "precision": asked.precision,
        "kv_precision": asked.kv_precision,
        "cards": asked.cards,
        "tensor_parallel": 1 if is_sought else asked.tensor_parallel,
        "plan": asked_plan(asked),
        "runtime": asked.runtime,
        "uncalibrated": asked.uncalibrated,
        "offload": asked.offload if isinstance(asked, Deploying) else None,
        "drafting": asked.speculation if isinstance(asked, Deploying) else None,
        "software": asked.software,
    }


def warn_of_other_format(model: str, precision: str | None) -> None:
    """Warns where a scheme is asked for that is not that of the checkpoint. Raises UserError."""
    from npusim.workload.catalog import load_model

    own = None if precision is None else load_model(model).checkpoint
    if own is not None and precision is not None and precision.strip().lower() != own.scheme:
        warn_of("--precision", f"{precision} is predicted; the checkpoint is stored as {own.scheme} ({own.label})")


def warn_without_calibration(arch: str) -> None:
    """Warns where an architecture has no calibration to ignore. Raises UserError."""
    from npusim.hardware.catalog import calibration_path

    if calibration_path(arch) is None:
        warn_of("--uncalibrated", f"{arch} has no calibration that could be left out")


def configuration(deployment: Deployment) -> dict[str, Json]:
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
        "software": _software(deployment),
        "calibrated": deployment.calibration is not None,
        **({} if deployment.drafting is None else {"speculation": _speculation(deployment, deployment.drafting)}),
        **({} if deployment.system.chip.pim is None else {"offload": deployment.offload}),
    }


def _software(deployment: Deployment) -> dict[str, Json] | None:
    used = deployment.software
    return None if used is None else {"name": used.description.name, "state": used.state, "told": used.told}


def _speculation(deployment: Deployment, drafting: Drafting) -> dict[str, Json]:
    """How tokens are drafted; acceptance: chance of each, given those before it."""
    drafter = deployment.drafter
    return {
        "name": drafting.name,
        "kind": drafting.kind,
        "drafted": drafting.tokens,
        "acceptance": drafting.profile.tolist(),
        "tokens_per_step": drafting.tokens_per_step,
        "model": None if drafter is None else drafter.model.name,
    }


def configuration_text(deployment: Deployment) -> str:
    """The deployment in one line."""
    system, precision, cards = deployment.system, deployment.precision, deployment.plan.cards
    return (
        f"{deployment.model.title} in {precision.name} with {precision.kv} KV on {cards} x {system.title} "
        f"({deployment.plan.name}, {deployment.runtime.name}{_drafts(deployment)})"
    )


def _drafts(deployment: Deployment) -> str:
    return "" if deployment.drafting is None else f", {deployment.drafting.text}"


def conditions_of(asked: Placing, deployment: Deployment, load: Mapping[str, str] = NO_CONDITIONS) -> dict[str, Json]:
    """The conditions that the user told and those that were assumed, with the values of the deployment.

    load: those that the load tells, by name.
    """
    from npusim.conditions.known import told_and_assumed

    shared = bool(getattr(asked, "shared_prefix", False))
    told = [each.field for each in declared_options(type(asked)) if _is_told(asked, each)]
    return told_and_assumed(deployment, [*told, *(["prompts"] if shared else []), *load], shared, **load)


def _is_told(asked: Placing, each: Declared) -> bool:
    """Whether an option was given: by a value but the default, or in the words of a command line."""
    value = getattr(asked, each.field)
    return value != _AUTO and (value != each.default or any(name in asked.words for name in each.names))


def told_beside(
    asked: Placing,
    deployment: Deployment,
    found: Found | None,
    interval: bool,
    load: Mapping[str, str] = NO_CONDITIONS,
) -> dict[str, Json]:
    """What an answer says beside its figures: deployment, conditions, plans to choose from, what intervals hold.

    load: as `conditions_of` takes it.
    """
    from npusim.serving.uncertainty import interval_text

    return {
        "configuration": configuration(deployment),
        "conditions": conditions_of(asked, deployment, load),
        **({} if found is None else {"plans": found.as_dict()}),
        **({"interval": interval_text(deployment.calibration)} if interval else {}),
    }
