"""Fleets whose answers nobody waits for: a teacher's for distillation, batches. Only the tokens of a day count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from npusim.errors import UserError
from npusim.explore.fleet.capacity import Capacity, RatePoint, Trials, refused
from npusim.explore.fleet.group import ALONE
from npusim.explore.fleet.numbers import FleetNumbers
from npusim.explore.fleet.option import FleetOption, option_of
from npusim.explore.fleet.plans import best_instance
from npusim.explore.fleet.requests import burst_load
from npusim.explore.fleet.traffic import OfTokens
from npusim.inputs.numbers import plain
from npusim.mapping.deployment import Deployment
from npusim.metric_row import Shown
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.serving.slo import Slo
from npusim.workload.profile import HOURS, SECONDS_PER_HOUR, KeptLogits, Profile

OPTION = "--offline"
_KEYS = ("tokens_per_day", "tokens", "days")
_EACH, _COARSE_EACH = 4, 2
"""Requests for each sequence that an instance serves at once, in the run that tells its rate."""
_DAY_S = HOURS * SECONDS_PER_HOUR
_MOST = 1e18
"""Most output tokens."""


@dataclass(frozen=True)
class Corpus:
    """tokens_per_day: output tokens wanted a day; tokens: of the whole corpus, None where it has no end."""

    tokens_per_day: float
    tokens: float | None = None


def parse_corpus(text: str) -> Corpus:
    """What is written as tokens_per_day=2e9, or with tokens=1e12, or as tokens=1e12,days=30. Raises UserError."""
    told: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (each.strip() for each in part.partition("="))
        number = plain(value)
        if not sign or name not in _KEYS or name in told or number is None or not 0.0 < number <= _MOST:
            message = f"'{part.strip()}' is none of {', '.join(f'{key}=N' for key in _KEYS)} with N above 0"
            raise UserError(OPTION, "", message)
        told[name] = number
    if told.keys() == {"tokens", "days"}:
        return Corpus(told["tokens"] / told["days"], told["tokens"])
    if "tokens_per_day" not in told or "days" in told:
        raise UserError(OPTION, "", f"'{text}' needs tokens_per_day=N, or tokens=N,days=N")
    return Corpus(told["tokens_per_day"], told.get("tokens"))


def at_full_load(trials: Trials, is_fine: bool) -> Capacity:
    """What an instance serves that always has as many requests as it takes."""
    where = trials.deployment
    users = int(where.runtime_record[0]["limits_max_sequences"]) * where.plan.data_parallel
    load = burst_load(trials.profile, users * (_EACH if is_fine else _COARSE_EACH), users, trials.seed)
    metrics = measure(simulate(where, load, trials.seed, trials.engine), Shown.COMPARED)
    rate = metrics["steady_output_tokens_per_s"] / load.tokens[:, 1].mean() if metrics.fits else 0.0
    point = RatePoint(float(rate), metrics, metrics.fits, metrics.fits, metrics["steady_power_w_mean"])
    return Capacity(float(rate), (point,), point, None if metrics.fits else refused(metrics))


def offline_option(
    arch: str, base: Deployment, profile: Profile, corpus: Corpus, seed: int, is_told: bool
) -> FleetOption:
    """The fleet of an architecture that puts out so many tokens a day. Raises DoesNotFit."""
    slo = Slo(())
    instance = best_instance(base, profile, slo, seed, is_told, ALONE, at_full_load)
    if instance.capacity.rate_per_s == 0.0:
        return FleetOption(arch, base.system.title, instance.capacity.reason, instance.deployment, instance.tried)
    asks = OfTokens(corpus.tokens_per_day)
    numbers = FleetNumbers(instance.deployment, profile, slo, asks, instance.capacity, seed)
    found = option_of(arch, instance, numbers)
    return replace(found, offline=_told(found, corpus, profile.kept))


def _told(option: FleetOption, corpus: Corpus, kept: KeptLogits | None) -> Mapping[str, Any]:
    """tokens a day of a server at full load, with the interval; days of the corpus; bytes that are kept."""
    a_day = option.instance["per_server"] * _DAY_S
    output = option.demand["output_tokens_mean"]
    rate = option.value("requests_per_s_per_instance")
    told: dict[str, Any] = {
        "tokens_per_day": corpus.tokens_per_day,
        "tokens_per_day_per_server": {
            "value": rate * output * a_day,
            **dict(
                zip(("low", "high"), (end * a_day for end in option.interval("tokens_per_s_per_instance")), strict=True)
            ),
        },
    }
    if corpus.tokens is not None:
        servers = option.value("servers") - option.spare_servers
        told |= {"corpus_tokens": corpus.tokens, "days": corpus.tokens / (servers * rate * output * a_day)}
    return told | ({} if kept is None else _kept(kept, corpus))


def _kept(kept: KeptLogits, corpus: Corpus) -> dict[str, Any]:
    """Bytes of the logits that are kept."""
    each = kept.per_token.value * kept.bytes_each.value
    found: dict[str, Any] = {"kept_bytes_per_day": each * corpus.tokens_per_day}
    return found if corpus.tokens is None else found | {"kept_bytes": each * corpus.tokens}
