"""Graphs of a layer each, products in other sizes than attention, and RNGD's runtimes beside each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import Deploy

from npusim.engine.analytic import AnalyticEngine
from npusim.hardware.runtime_record import GRAPH_LAYER, GRAPH_OPERATOR, GRAPH_STEP
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, QKV
from npusim.serving.load import random_load
from npusim.serving.metrics import measure
from npusim.serving.simulate import simulate
from npusim.workload.arrivals import Closed
from npusim.workload.step import decode, prefill

MODEL, LAYERS = "llama-3.1-8b", 32
RUNTIMES = ("furiosa-llm-2026.2", "furiosa-llm-2026.3", "furiosa-llm-2026.5b")


def altered(deployment: Deployment, change: Callable[[np.ndarray], None]) -> Deployment:
    record = deployment.runtime_record.copy()
    change(record[0])
    return deployment.with_records(deployment.machine.copy(), record)


def test_each_layer_s_graph_has_a_start_of_its_own(deployed: Deploy) -> None:
    plain = deployed("rngd", MODEL, uncalibrated=True)
    names = [path.name for path in plain.runtime.paths]

    def later(record: np.ndarray) -> None:
        record["paths_layer_launch"][names.index("kernelwise")] += 1e-3

    slower = altered(plain, later)
    for step, more_s in ((decode([512] * 4), LAYERS * 1e-3), (decode([512]), 0.0), (prefill(1, 512), 0.0)):
        costs = [AnalyticEngine(each, len(step.query)).cost(step) for each in (plain, slower)]
        assert costs[1].time_s - costs[0].time_s == pytest.approx(more_s, abs=1e-9)


def test_products_run_in_sizes_of_their_own(deployed: Deploy) -> None:
    plain = deployed("rngd", MODEL, uncalibrated=True)
    engine = AnalyticEngine(plain, 1)
    table, _ = engine.operators(prefill(1, 640))
    assert plain.runtime.tokenwise is not None and 640 not in plain.runtime.tokenwise.sizes
    assert set(table.rows["m"][table.rows["op"] == QKV]) == {1024.0}
    assert set(table.rows["query"][table.rows["kind"] == ATTENTION]) == {640.0}
    own = replace(plain, runtime=plain.runtime.model_copy(update={"tokenwise": None}))
    record = own.runtime_record.copy()
    record["tokenwise_count"] = 0
    alike = AnalyticEngine(own.with_records(own.machine, record), 1)
    times = {tokens: engine.cost(prefill(1, tokens)).time_s for tokens in (512, 640, 1024)}
    assert times[512] < times[640] < times[1024]
    assert alike.cost(prefill(1, 640)).time_s < times[640]


def test_a_graph_of_a_layer_fetches_weights_ahead_and_no_keys_and_values(deployed: Deploy) -> None:
    plain = deployed("rngd", MODEL, runtime=RUNTIMES[0], uncalibrated=True)
    step = decode([1100] * 16)
    found = {}
    for graph in (GRAPH_OPERATOR, GRAPH_LAYER, GRAPH_STEP):

        def compiled(record: np.ndarray, graph: int = graph) -> None:
            record["path_graph"][:] = graph

        engine = AnalyticEngine(altered(plain, compiled), 16)
        table, costs = engine.operators(step)
        attends = table.rows["kind"] == ATTENTION
        found[graph] = engine.cost(step).time_s, float((costs["memory_s"] * costs["repeat"])[attends].sum())
    assert found[GRAPH_OPERATOR][0] > found[GRAPH_LAYER][0] > found[GRAPH_STEP][0]
    assert found[GRAPH_OPERATOR][1] == found[GRAPH_LAYER][1] > found[GRAPH_STEP][1]


@pytest.mark.parametrize("users", [1, 8, 64])
def test_a_later_sdk_is_no_slower(deployed: Deploy, users: int) -> None:
    """Nothing that is told of 2026.5b makes it slower than 2026.3. That has a graph of the whole step for one user; for
    more it runs the graphs of 2026.2, and both are fitted to what other labs ran."""
    load = random_load(700, 64, Closed(users), 2 * users)
    before, after, latest = (
        measure(simulate(deployed("rngd", MODEL, runtime=name), load, 0)).figures["output_tokens_per_s"]
        for name in RUNTIMES
    )
    assert after <= latest
    assert before < after if users == 1 else after == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("arch", ["rngd-plus", "rngd-plus-max"])
def test_the_next_chip_inherits_no_start_of_a_layer_s_graph_of_tuned_software(deployed: Deploy, arch: str) -> None:
    """A step of it, tuned, does not follow what labs ran: neither graphs of a layer nor one process for all tokens."""
    tuned = deployed(arch, MODEL, software="tuned")

    def as_labs_ran_it(record: np.ndarray) -> None:
        record["paths_layer_launch"][:] = np.where(np.isnan(record["paths_layer_launch"]), np.nan, 1e-4)

    paths = [path.name for path in tuned.runtime.paths]
    served = np.flatnonzero(tuned.runtime_record[0]["path_serves"][: len(paths)] == 1)
    assert np.nanmax(tuned.runtime_record[0]["paths_layer_launch"][served]) < 1e-5
    assert float(tuned.runtime_record[0]["host_token_time"]) < 1e-4
    for step in (decode([512] * 64), decode([512])):
        both = tuned, altered(tuned, as_labs_ran_it)
        costs = [AnalyticEngine(each, len(step.query)).cost(step).time_s for each in both]
        assert costs[0] == costs[1]
