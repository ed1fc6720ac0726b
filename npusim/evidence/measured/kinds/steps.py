"""Whole forward passes on one GPU, timed without a serving engine."""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.placement import Placement, model_name, placed, scheme
from npusim.evidence.measured.sources import sources, with_percentiles
from npusim.evidence.measured.tables import Row, Unrepresentable
from npusim.evidence.predictors.step import GPU_RUNTIME, UNPADDED, StepPredictor

REGIMES = ("burst", "sustained")


def _cases(row: Row, arch: str) -> list[Case]:
    """us, and power_w where the loop was long enough to read it. A burst ends before the power limit acts."""
    model, dtype, regime = model_name(row.text("model")), row.text("dtype"), row.text("regime")
    if regime not in REGIMES:
        raise Unrepresentable(f"no regime '{regime}'; known: {', '.join(REGIMES)}")
    cards = row.count("tp") if row.text("tp") else 1
    predictor = _predictor(row, placed(Placement(arch, GPU_RUNTIME, model, scheme(dtype), cards, attention=UNPADDED)))
    return cases_of(
        row,
        (Figure("us", "us", _sigma(row), main=True), Figure("power_w", "power_w", sources().spreads.board_power.value)),
        predictor,
        group=f"{model} {dtype}",
        model=model,
        dimensions={
            "phase": row.text("phase"),
            "model": model,
            "dtype": dtype,
            "regime": regime,
            "batch": row.text("batch"),
            "query": row.text("q_len"),
            "context": row.text("ctx"),
        },
    )


def _predictor(row: Row, placement: Placement) -> StepPredictor:
    phase, batch, context = row.text("phase"), row.count("batch"), row.count("ctx")
    capped = row.text("regime") == "sustained"
    if phase == "decode":
        return StepPredictor(placement, batch, context, (), capped)
    if phase == "prefill":
        return StepPredictor(placement, 0, 0, ((row.count("q_len"), context),) * batch, capped)
    raise Unrepresentable(f"no phase '{phase}'; known: decode, prefill")


def _sigma(row: Row) -> float:
    spreads, time = sources().spreads, row.measured("us")
    if row.text("regime") == "sustained" or time is None:
        return spreads.sustained_loop.value
    return with_percentiles(spreads.device_events.value, time, row.measured("us_p5"), row.measured("us_p95"))


KIND = TableKind(
    name="steps",
    columns="regime phase model dtype batch q_len ctx us",
    main="us",
    telling=("phase", "model", "regime"),
    cases=of_chip(_cases, "gpu"),
)
