"""How fast the DRAM kernel is, in requests per CPU-second of one core after compilation."""

from __future__ import annotations

import time
from typing import Any

import pytest

from npusim.hardware.catalog import load_memory
from npusim.hardware.dram_channel.measure import Traffic, measure_channel

REQUESTS = 100_000


@pytest.mark.parametrize("standard", ["hbm3-6400", "lpddr5-6400", "lpddr6-10667"])
@pytest.mark.parametrize("pattern", ["seq", "random"])
@pytest.mark.parametrize(("outstanding", "aim"), [(128, "150,000 or more"), (8, "3,000,000 or more")])
def test_requests(benchmark: Any, standard: str, pattern: str, outstanding: int, aim: str) -> None:
    memory = load_memory(standard)
    run = measure_channel.__wrapped__
    run(memory, Traffic(pattern=pattern, block=2, requests=1_000, outstanding=outstanding))
    traffic = Traffic(pattern=pattern, block=2, requests=REQUESTS, outstanding=outstanding, refresh="off")
    seconds: list[float] = []

    def work() -> None:
        started = time.process_time()
        run(memory, traffic)
        seconds.append(time.process_time() - started)

    benchmark.pedantic(work, rounds=3)
    benchmark.extra_info["requests_per_cpu_s"] = [REQUESTS / min(seconds), aim]
