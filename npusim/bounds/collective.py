"""Collectives: chips that share every layer sum their partial results twice a layer, over the links between them.

Every chip must receive at least one whole result, whatever the algorithm (an all-reduce inside the network moves that
much; Thakur, Rabenseifner, Gropp 2005 for the others), and a message takes at least one latency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from npusim.bounds.ceiling import LinkCeiling
from npusim.bounds.finding import Finding
from npusim.bounds.load import BoundedLoad, Terms
from npusim.bounds.reading import LEAST, Reading
from npusim.units import MS_PER_S
from npusim.words import Phrase
from npusim.workload.model import Model

NAME = "collectives"
_PER_LAYER = 2
_BYTES_OF_A_SUM = 1.0


def collectives(load: BoundedLoad, model: Model, figures: Mapping[str, Reading]) -> Iterator[Finding]:
    """Bounds on latencies and throughput where tensor parallelism is known; sums may travel in 8 bits."""
    if load.tensor_parallel is None or load.tensor_parallel < 2:
        return
    ends = [(sums_s(terms, load, model, 1), sums_s(terms, load, model, load.isl)) for terms in load.both]
    for metric, figure in figures.items():
        if metric.startswith("tpot_ms_") and load.osl > 1:
            low, high = (MS_PER_S * token / load.tokens_per_step for token, _ in ends)
        elif metric.startswith("ttft_ms_") and load.prompts_differ:
            low, high = (MS_PER_S * prompt for _, prompt in ends)
        else:
            continue
        told = {"sums": _PER_LAYER * model.layers, "chips": load.tensor_parallel, "time": f"{low:.4g}"}
        says = Phrase("its time for {sums} sums over {chips} chips ({time} ms)", told)
        found = Finding(NAME, metric, low / max(figure.high, LEAST), high / max(figure.low, LEAST), says, low)
        yield load.of_steps(found) if metric.startswith("tpot_ms_") else found


def sums_s(terms: Terms, load: BoundedLoad, model: Model, tokens: int) -> float:
    """Least seconds of a pass of `tokens` tokens in its sums, which come over the links of a chip to the others."""
    link = link_of(terms, load)
    links = max(1, min(link.links, (load.tensor_parallel or 1) - 1))
    volume = tokens * model.hidden * _BYTES_OF_A_SUM / (links * link.bandwidth_bytes_per_s)
    return _PER_LAYER * model.layers * max(link.latency_s, volume)


def link_of(terms: Terms, load: BoundedLoad) -> LinkCeiling:
    """The link that joins the chips of a layer: the card's own where it holds them all."""
    ceiling, ranks = terms.ceiling, load.tensor_parallel or 1
    return ceiling.on_card if ceiling.on_card is not None and ranks <= ceiling.chips_per_card else ceiling.between_cards
