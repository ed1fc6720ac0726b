"""The measured chip that is nearest to a proposed one, for comparison."""

from __future__ import annotations

import math

from npusim.answers.peaks import peak_ops_per_s
from npusim.errors import UserError
from npusim.explore.evaluate.decision import Neighbour
from npusim.explore.evaluate.prediction import predict_claim
from npusim.explore.evaluate.proposal import Claim
from npusim.hardware.catalog import calibration_of, load_system, shipped_systems
from npusim.hardware.system import System
from npusim.mapping.deployment import Deployment, deploy


def nearest(claim: Claim, deployment: Deployment, seed: int) -> Neighbour | None:
    """The calibrated architecture whose memory bandwidth and bf16 peak are nearest, with its figure for the claim."""
    own = deployment.system
    known = [
        name
        for name in shipped_systems()
        if name != own.name and load_system(name).silicon and calibration_of(name) is not None
    ]
    if not known:
        return None
    name = min(known, key=lambda each: _distance(own, load_system(each)))
    other = load_system(name)
    calibration = calibration_of(name)
    assert calibration is not None
    value = low = high = None
    try:
        placed = deploy(
            name,
            claim.model,
            precision=claim.precision,
            kv_precision=claim.kv_precision,
            cards="auto",
            tokens=claim.isl + claim.osl,
        )
        found = predict_claim(claim, placed, seed)
        value, low, high = found.value, found.low, found.high
    except UserError:
        value = None
    bandwidth, peak = _rates(own), _rates(other)
    return Neighbour(
        name, other.title, calibration.source, value, low, high, bandwidth[0] / peak[0], bandwidth[1] / peak[1]
    )


def _rates(system: System) -> tuple[float, float]:
    """Memory bandwidth (bytes/s) and dense bf16 peak (operations/s) of one chip."""
    return system.chip.memory.peak_bandwidth_bytes_per_s, peak_ops_per_s(system)["bf16"]


def _distance(one: System, other: System) -> float:
    return math.hypot(*(math.log(a / b) for a, b in zip(_rates(one), _rates(other), strict=True)))
