"""Fleets for a service of many users, of several architectures side by side."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, Json, plain_answer
from npusim.api.deploying import ModelName, Placing, Seed, configuration, deploy_words, warn_of_other_format
from npusim.api.deploying import warn_without_calibration as warn_uncalibrated
from npusim.api.fleet_loads import traced_load
from npusim.api.function import asked_by
from npusim.api.options import Argument, Given, Option
from npusim.errors import UserError
from npusim.inputs.limits import MOST_INSTANCES
from npusim.publish import MANIFEST, OutFolder
from npusim.words import Language
from npusim.workers import MOST_WORKERS, processors

if TYPE_CHECKING:
    from npusim.explore.fleet.autoscale import Autoscaled
    from npusim.explore.fleet.deciding import Decider
    from npusim.explore.fleet.host_demand import HostDemand
    from npusim.explore.fleet.option import FleetOption
    from npusim.explore.fleet.run import FleetAsked
    from npusim.words import Phrase
    from npusim.workload.profile import Profile

FLEET_FILES = ("report.html", "fleet.xlsx", "fleet.csv", MANIFEST)
_MOST_USERS = 1e11
_MOST_READY_S = 1e5
_AUTO = "auto"


@dataclass(frozen=True)
class FleetOptions(Placing):
    """What `npusim fleet` is asked."""

    archs: Annotated[
        str | Sequence[str],
        Argument(
            "Architectures, side by side; ARCH+ARCH computes prompts on the first and decodes on the second.",
            metavar="ARCH...",
        ),
    ]
    model: ModelName
    _: KW_ONLY
    users: Annotated[
        float | None,
        Option("Users of the service.", metavar="U", default="none: give --offline", least=1, most=_MOST_USERS),
    ] = None
    slo: Annotated[
        str | None,
        Option(
            "Limits of latencies that are to be kept at the peak: ttft, tpot, itl or e2e, with _mean, _p50, _p90 or "
            "_p99.",
            metavar="ttft_p99=2s,tpot_p99=50ms",
            only_with=("users", Given),
        ),
    ] = None
    profile: Annotated[
        str | None,
        Option(
            "What users ask for over a day: one of npusim list profiles or a file.",
            metavar="NAME|FILE",
            default="consumer-assistant; offline teacher-distillation",
        ),
    ] = None
    offline: Annotated[
        str | None,
        Option(
            "Output tokens that are wanted a day, and of a whole corpus, where nobody waits for answers.",
            metavar="tokens_per_day=N[,tokens=N]|tokens=N,days=N",
        ),
    ] = None
    plan: Annotated[
        str | None,
        Option(
            "Degrees of tensor (tp), pipeline (pp), expert (ep) and data (dp) parallelism of an instance, in place of "
            "--cards and --tp; auto takes the number of cards that serves the most requests a second and card.",
            metavar="auto|tp4-pp2|FILE",
            default=_AUTO,
        ),
    ] = None
    direct: Annotated[
        int | None,
        Option(
            "Check the estimate by simulating so many instances behind routers.",
            metavar="N",
            least=1,
            most=MOST_INSTANCES,
            only_with=("users", Given),
        ),
    ] = None
    routing: Annotated[
        Literal["least_loaded", "prefix_aware", "round_robin"],
        Option("To which instance behind its router a request is sent.", only_with=("users", Given)),
    ] = "least_loaded"
    load: Annotated[
        str | None,
        Option(
            "What the instances of --direct serve, in place of the profile's requests at the largest rate: sessions as "
            "a shipped load or a YAML file describes them (npusim list loads).",
            metavar="LOAD",
            only_with=("direct", Given),
        ),
    ] = None
    trace: Annotated[
        Path | None,
        Option(
            "Recorded requests that the instances of --direct serve at their times, in a format of npusim run --trace.",
            metavar="FILE",
            only_with=("direct", Given),
        ),
    ] = None
    link: Annotated[
        str | None,
        Option(
            "Link over which KV goes from prompts to answers of ARCH+ARCH, of arch_configs/links or by its path.",
            metavar="NAME|PATH",
            default="the network that joins their servers",
            only_with=("users", Given),
        ),
    ] = None
    autoscale: Annotated[
        str | None,
        Option(
            "Switch servers off while the load is low; those that start load weights from this memory, of "
            "arch_configs/tiers or by its path.",
            metavar="NAME",
            default="none: all servers stay on",
            only_with=("users", Given),
        ),
    ] = None
    ready_s: Annotated[
        float | None,
        Option(
            "Seconds from loaded weights to the first step: graphs that are captured, programs that are loaded.",
            names=("--ready-time",),
            metavar="S",
            default="unknown, and left out",
            least=0,
            most=_MOST_READY_S,
            only_with=("autoscale", Given),
        ),
    ] = None
    out: Annotated[
        Path | None,
        Option(
            "Write report.html, fleet.xlsx and fleet.csv to this folder.", metavar="DIR", writes=OutFolder(FLEET_FILES)
        ),
    ] = None
    emit: Annotated[
        Literal["kubernetes"] | None,
        Option("Write manifests for a cluster to --out too, a file for each architecture.", only_with=("out", Given)),
    ] = None
    image: Annotated[
        str | None,
        Option("Container image of the server in those manifests.", metavar="NAME", only_with=("emit", Given)),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed, of the report and of the workbook.")] = "en"
    backend: Annotated[
        Literal["local", "dask", "ray"],
        Option("Processes of this machine, or the workers of an existing cluster.", replayed=False),
    ] = "local"
    workers: Annotated[
        int | None,
        Option(
            "Highest number of processes of this machine; the results do not depend on it.",
            metavar="N",
            default="one for each processor",
            least=1,
            most=MOST_WORKERS,
            only_with=("backend", "local"),
            replayed=False,
        ),
    ] = None
    scheduler: Annotated[
        str | None, Option("Address of the Dask scheduler or the Ray cluster.", metavar="ADDRESS", replayed=False)
    ] = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.users is None) == (self.offline is None):
            raise UserError("--users", "", "say for how many users, or --offline for how many tokens; one of them")
        if self.users is not None and self.slo is None:
            raise UserError("--slo", "", "is missing; say which latencies users are to get: ttft_p99=2s,tpot_p99=50ms")
        if self.emit is not None and self.image is None:
            raise UserError("--image", "", "is missing; --emit needs the container image that serves")
        if self.load is not None and self.trace is not None:
            raise UserError("--load", "", "a trace has its own requests; leave it out, or --trace")
        if self.scheduler is not None and self.backend == "local":
            raise UserError("--scheduler", "", "applies to --backend dask or ray alone; add one, or leave it out")
        self._check_pools()

    def _check_pools(self) -> None:
        """Raises UserError for what two pools do not have, and what they alone have."""
        apart = [each for each in self.chips if "+" in each]
        if self.link is not None and not apart:
            raise UserError("--link", "", "joins two pools; ask for PREFILL+DECODE, or leave it out")
        for option, value in (("--offline", self.offline), ("--direct", self.direct), ("--autoscale", self.autoscale)):
            if apart and value is not None:
                raise UserError(option, apart[0], "is for one architecture that does both; leave one of them out")
        if apart and self.emit is not None:
            raise UserError("--emit", apart[0], "writes one Deployment of one kind of instance; leave it out")

    @property
    def chips(self) -> tuple[str, ...]:
        """The architectures, each once."""
        return (self.archs,) if isinstance(self.archs, str) else tuple(dict.fromkeys(self.archs))

    @property
    def is_planned(self) -> bool:
        """Whether cards or a plan are told."""
        return self.plan not in (None, _AUTO) or self.cards is not None or self.tensor_parallel is not None


@dataclass(frozen=True)
class FleetResult:
    """options: one of each architecture; profile: what users ask for; files: written ones; manifest: what made them."""

    options: list[FleetOption]
    profile: Profile
    asked: FleetOptions
    files: list[str]
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {
            "options": [option_answer(each) for each in self.options],
            "profile": self.profile.name,
            "interval": INTERVAL,
            "composition": COMPOSITION,
            "files": self.files,
        }


INTERVAL = (
    "low, high: the 90 % interval of servers; <figure>_low, <figure>_high that of each figure. Joint draws from the "
    "ranges of all numbers of machine, software, housing and profile, of what calibration left unexplained, and of the "
    "errors of scaled rates (anew_over_scaled: a few draws simulated anew; 0 where these keep no rate)."
)
COMPOSITION = (
    "Instances stand in cells behind one router each. One instance with its part of the requests of a cell tells how "
    "latencies rise with the rate; a few behind the router (--routing) tell the rate itself: how evenly requests come, "
    "and which prefixes are lost. --direct N simulates whole cells."
)


@asked_by(FleetOptions)
def fleet(asked: FleetOptions) -> FleetResult:
    """Instances, servers, racks and watts that a service needs, with intervals. Raises UserError."""
    from npusim.explore.fleet.run import fleets
    from npusim.explore.sweep.backend import Backend

    if asked.uncalibrated:
        for arch in dict.fromkeys(part for each in asked.chips for part in each.split("+")):
            warn_uncalibrated(arch)
    warn_of_other_format(asked.model, asked.precision)
    told = _told(asked)
    found = fleets(asked.chips, told, Backend(asked.backend, asked.workers or processors(), asked.scheduler))
    record = asked.manifest("fleet")
    files = _written(asked, found, told.profile, record)
    return FleetResult(found, told.profile, asked, files, record)


def _told(asked: FleetOptions) -> FleetAsked:
    from dataclasses import replace

    from npusim.explore.fleet.autoscale import AutoscaleAsked
    from npusim.explore.fleet.direct import DirectAsked
    from npusim.explore.fleet.offline import parse_corpus
    from npusim.explore.fleet.run import FleetAsked
    from npusim.serving.slo import parse_slo
    from npusim.workload.profile import load_profile

    traced = traced_load(asked.load, asked.trace, asked.seed)
    usual = "consumer-assistant" if asked.offline is None else "teacher-distillation"
    return FleetAsked(
        model=asked.model,
        profile=load_profile(asked.profile or usual),
        seed=asked.seed,
        told=deploy_words(replace(asked, plan=None if asked.plan == _AUTO else asked.plan)),
        is_planned=asked.is_planned,
        users=asked.users,
        slo=None if asked.slo is None else parse_slo(asked.slo),
        routing=asked.routing,
        link=asked.link,
        autoscale=None if asked.autoscale is None else AutoscaleAsked(asked.autoscale, asked.ready_s),
        corpus=None if asked.offline is None else parse_corpus(asked.offline),
        direct=None if asked.direct is None else DirectAsked(asked.direct, asked.routing, traced),
    )


def _written(asked: FleetOptions, found: list[FleetOption], profile: Profile, record: Answer) -> list[str]:
    from npusim.api.caveats import caveats
    from npusim.explore.fleet.publish import publish_fleet

    if asked.out is None:
        return []
    out = Path(asked.out)
    notes = caveats([each.deployment for each in found if each.deployment is not None], asked.lang, of_cards=False)
    names = publish_fleet(found, profile, notes, record, asked.lang, out, _manifests(asked, found))
    return [str(out / name) for name in names]


def _manifests(asked: FleetOptions, found: list[FleetOption]) -> dict[str, str]:
    """Files for a cluster and their text; warns of an architecture whose cards have no known name there."""
    from npusim.explore.fleet.kubernetes import FOLDER, check_image, manifest_of

    if asked.emit is None or asked.image is None:
        return {}
    image, files = check_image(asked.image), {}
    for place, option in enumerate(found, start=1):
        if option.draws is None:
            continue
        try:
            files[f"{FOLDER}/fleet-{place}.yaml"] = manifest_of(option, asked.model, image)
        except UserError as error:
            warnings.warn(f"{error.location}: {option.arch}: {error.message}", stacklevel=2)
    return files


def option_answer(option: FleetOption) -> Answer:
    """One architecture as plain JSON values; null where there is no fleet, or something is not told."""
    from npusim.explore.fleet.sizing import FIGURES

    low, high = option.interval("servers")
    ends = {name: option.interval(name) for name in FIGURES}
    unknown = {name: str(reason) for name, reason in option.unknown.items()}
    if math.isinf(high):
        unknown["high"] = "in more than 5 % of the draws no instance keeps the objectives"
    answer: dict[str, object] = {
        "arch": option.arch,
        "title": option.title,
        "reason": _text(option.reason),
        **{name: _number(option.value(name)) for name in FIGURES},
        "low": _number(low),
        "high": _number(high),
        **{
            f"{name}_{side}": _number(end)
            for name in FIGURES
            for side, end in zip(("low", "high"), ends[name], strict=True)
        },
        "spare_servers": _number(option.spare_servers),
        "servers_in_years": {str(year): _number(servers) for year, servers in option.later.items()},
        "deciding": [_decider(each) for each in option.deciding],
        "unknown": unknown,
        "instance": dict(option.instance),
        "demand": dict(option.demand),
        "host": _host(option.host),
        "plans": [vars(each) | {"reason": _text(each.reason)} for each in option.tried],
    }
    answer |= {} if option.deployment is None else {"configuration": configuration(option.deployment)}
    answer |= {} if option.anew is None else {"anew_over_scaled": option.anew.ratios.tolist()}
    answer |= {} if option.autoscaled is None else {"autoscaled": _autoscaled(option.autoscaled)}
    answer |= {} if option.pools is None else {"pools": dict(option.pools)}
    answer |= {} if option.direct is None else {"direct": dict(option.direct)}
    answer |= {} if option.offline is None else {"offline": dict(option.offline)}
    day = {} if option.day is None else {name: value.tolist() for name, value in vars(option.day).items()}
    return plain_answer({**answer, **({"day": day} if day else {})})


def _text(reason: Phrase | None) -> str | None:
    return None if reason is None else str(reason)


def _host(host: HostDemand | None) -> object:
    return None if host is None else {**vars(host), "cores": {**host.cores, "all": host.all_cores}}


def _autoscaled(found: Autoscaled) -> Answer:
    from npusim.explore.fleet.autoscale import POLICY

    value, low, high = found.cold.seconds
    return {
        "policy": POLICY,
        "from": found.cold.tier,
        "cold_start_s": {"value": value, "low": low, "high": high},
        "cold_start_is_least": found.cold.ready_s is None,
        "servers_on": [_number(each) for each in found.servers_on.tolist()],
        "starts_per_day": _number(found.starts),
        "kwh_per_day_wall": _number(found.kwh),
        "kwh_per_day_wall_always_on": _number(found.kwh_always_on),
    }


def _number(value: float) -> Json:
    """A whole number as one; None for none."""
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(value)


def _decider(each: Decider) -> Answer:
    quantity = each.quantity
    told: Answer = {"owner": each.owner, "path": each.path, "meaning": each.meaning, "share": each.share}
    told |= {"servers_at_low": _number(each.low), "servers_at_high": _number(each.high)}
    if quantity is None:
        return told | {"kind": "derived", "source": "the calibrations' cross-validated errors"}
    return told | {
        "kind": quantity.kind,
        "source": quantity.source,
        "value": quantity.value,
        "low": quantity.low,
        "high": quantity.high,
        "unit": quantity.unit,
        "text": quantity.text,
    }
