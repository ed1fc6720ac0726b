"""A saved /metrics page: of vLLM or Furiosa-LLM, of furiosa-metrics-exporter (@4779b3a), of the DCGM exporter.

Counters and histograms hold everything since the server started. A histogram's mean is its sum over its count; its
percentiles are known to a bucket, and are given as its two ends.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from npusim.bounds.reading import Reading
from npusim.errors import UserError
from npusim.inputs.numbers import MOST_NUMBER
from npusim.lab.files.format import TEXT, Format
from npusim.lab.files.lab_run import Conduct, LabRun, RunConditions
from npusim.lab.files.naming import told_precision
from npusim.metric_names import named_by
from npusim.metrics import PROMETHEUS

_SERVERS = {"vllm:": "vLLM /metrics", "furiosa_llm_": "Furiosa-LLM /metrics"}
_EXPORTERS = {
    "furiosa_npu_hw_power": ("furiosa-metrics-exporter", "arch", "uuid"),
    "DCGM_FI_DEV_POWER_USAGE": ("DCGM exporter", "modelName", "UUID"),
}
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class MetricsPage:
    """The samples of a page by name."""

    location: str
    samples: dict[str, list[Sample]]

    def total(self, name: str) -> float | None:
        """The sum over all labels, None where the page lacks it. Raises UserError."""
        found = self.samples.get(name)
        if found is None:
            return None
        for sample in found:
            if not 0.0 <= sample.value <= MOST_NUMBER:
                raise UserError(self.location, name, f"{sample.value} is no finite number of zero or more")
        return math.fsum(sample.value for sample in found)

    def label(self, name: str) -> str | None:
        """The first value of a label."""
        every = (sample.labels.get(name) for found in self.samples.values() for sample in found)
        return next((value for value in every if value), None)


def is_page(text: str) -> bool:
    """Whether text holds metrics of a server or exporter that is known."""
    starts = (*_SERVERS, *_EXPORTERS)
    return any(line.startswith(starts) for line in text.splitlines())


def runs(path: Path, text: str) -> Iterator[LabRun]:
    """A run for a server's page, one for an exporter's. Raises UserError."""
    page = _read(path, text)
    for prefix, tool in _SERVERS.items():
        if any(name.startswith(prefix) for name in page.samples):
            yield _server(page, prefix, tool)
    for name, (tool, chip, card) in _EXPORTERS.items():
        if name in page.samples:
            yield _exporter(page, name, tool, chip, card)


def _read(path: Path, text: str) -> MetricsPage:
    samples: dict[str, list[Sample]] = defaultdict(list)
    seen = set()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                if key in seen:
                    raise UserError(
                        str(path), sample.name, "the metric stands twice with the same labels; save one page"
                    )
                seen.add(key)
                samples[sample.name].append(sample)
    except (ValueError, KeyError, IndexError) as error:
        raise UserError(
            str(path), "", f"is no Prometheus text ({error}); save the page as the server gave it"
        ) from error
    return MetricsPage(str(path), dict(samples))


def _server(page: MetricsPage, prefix: str, tool: str) -> LabRun:
    figures: dict[str, Reading] = {}
    for histogram, (row, times) in named_by(PROMETHEUS).items():
        if row.name not in figures:
            figures |= dict(_histogram(page, f"{prefix}{histogram}", row.quantity, times))
    finished = page.total(f"{prefix}request_success_total")
    tokens_in, tokens_out = (page.total(f"{prefix}{name}_tokens_total") for name in ("prompt", "generation"))
    model = page.label("model_name")
    return LabRun(
        page.location,
        tool,
        RunConditions(
            model=model,
            precision=told_precision(model or ""),
            isl=tokens_in / finished if tokens_in and finished else None,
            osl=tokens_out / finished if tokens_out and finished else None,
        ),
        figures,
        Conduct(
            completed=None if finished is None else round(finished),
            tokens_per_step=_tokens_per_step(page, prefix),
            drafts_reported=_tokens_per_step(page, prefix) > 1.0,
            warm_up="everything since the server started, its warm-up too",
            remarks=_remarks(page, prefix),
        ),
    )


def _histogram(page: MetricsPage, metric: str, name: str, times: float) -> Iterator[tuple[str, Reading]]:
    total, number = page.total(f"{metric}_sum"), page.total(f"{metric}_count")
    if total is None or not number:
        return
    yield f"{name}_mean", Reading.exact(total / number * times)
    edges = _edges(page, f"{metric}_bucket")
    for part in _PERCENTILES:
        ends = _bucket(edges, number * part / 100.0)
        if ends is not None:
            low, high = (end * times for end in ends)
            yield f"{name}_p{part}", Reading(0.5 * (low + high), low, high)


def _edges(page: MetricsPage, metric: str) -> dict[float, float]:
    """Requests up to each upper end of a histogram, seconds. Raises UserError."""
    edges: dict[float, float] = defaultdict(float)
    for sample in page.samples.get(metric, []):
        told = sample.labels.get("le", "")
        try:
            edge = float(told)
        except ValueError:
            edge = math.nan
        if math.isnan(edge):
            raise UserError(
                page.location, f'{metric}{{le="{told}"}}', "is no upper end of a bucket; save the page again"
            )
        edges[edge] += sample.value
    return edges


def _bucket(edges: dict[float, float], rank: float) -> tuple[float, float] | None:
    """The bucket in which the request of that rank lies, None for the one without an upper end."""
    below = 0.0
    for edge in sorted(edges):
        if edges[edge] >= rank:
            return None if math.isinf(edge) else (below, edge)
        below = edge
    return None


def _tokens_per_step(page: MetricsPage, prefix: str) -> float:
    drafts = page.total(f"{prefix}spec_decode_num_drafts_total")
    accepted = page.total(f"{prefix}spec_decode_num_accepted_tokens_total")
    return 1.0 + accepted / drafts if drafts and accepted else 1.0


def _remarks(page: MetricsPage, prefix: str) -> tuple[str, ...]:
    told = []
    preempted = page.total(f"{prefix}num_preemptions_total")
    if preempted:
        told.append(f"{preempted:,.0f} pre-emptions: KV memory was full")
    asked, hit = (page.total(f"{prefix}prefix_cache_{name}_total") for name in ("queries", "hits"))
    if asked and hit:
        told.append(f"{hit / asked:.1%} of the prompt tokens were found in the prefix cache: TTFT is flattered")
    return tuple(told)


def _exporter(page: MetricsPage, name: str, tool: str, chip: str, card: str) -> LabRun:
    """Watts at one moment, all cards together."""
    found = [sample for sample in page.samples[name] if sample.labels.get("label", "rms") == "rms"]
    watts = math.fsum(sample.value for sample in found)
    if not found or not 0.0 <= watts <= MOST_NUMBER:
        raise UserError(page.location, name, "holds no watts of zero or more; save the page as the exporter gave it")
    cards = len(
        {sample.labels.get(card) or sample.labels.get("device") or sample.labels.get("gpu") for sample in found}
    )
    return LabRun(
        page.location,
        tool,
        RunConditions(device=page.label(chip), cards=cards),
        {"power_w_mean": Reading.printed(f"{watts:.6g}")},
        Conduct(
            power_scope="cards",
            power_samples=1,
            firmware=page.label("firmware_version"),
            sdk=page.label("driver_version") or page.label("DCGM_FI_DRIVER_VERSION"),
            notes=("one sample of the power, not a mean over a run",),
        ),
    )


FORMATS = (Format("Prometheus /metrics text", TEXT, is_page, runs),)
