"""The answer of `precision`: signal-to-noise ratios of schemes, their published recovery, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npusim.fidelity.assumptions import fidelity_table, quantisers_of
from npusim.fidelity.estimate import Fidelity, estimate, own_scheme, ratio_db
from npusim.fidelity.recovery import recovery_of
from npusim.fidelity.samples import Noise
from npusim.ledger import provenances
from npusim.workload.catalog import load_model
from npusim.workload.model import Model
from npusim.workload.precision import SCHEMES, resolve_precision

FORMULA = (
    "n_b = n_(b-1) (1 - s + s carry) + s e_b over the blocks of all layers, s = 1 - 1/growth of the residual stream "
    "over a block, e_b the sum of the noise-to-signal ratios of the block's products (and of its cache); SQNR = 1 / (n "
    "+ that of the LM head). Noises are taken to be independent, so that their powers add."
)
LIMITS = (
    "Drawn tensors, round to nearest: GPTQ, AWQ and smoothing choose roundings that lose less, and a router's choice "
    "of experts is not followed. No score of a test follows from it."
)


def predict_fidelity(name: str, schemes: Sequence[str] | None, kv: str, seed: int) -> tuple[Model, dict[str, Any]]:
    """The model and the answer. schemes: SCHEME or SCHEME:VARIANT, None for all shipped schemes, the checkpoint's own
    first; kv: as `resolve_precision` takes it. Raises UserError."""
    model = load_model(name)
    own = own_scheme(model)
    asked = list(dict.fromkeys(schemes)) if schemes else [own, *(each for each in SCHEMES if each != own)]
    cache = resolve_precision(own, kv).kv
    told = [_told(model, each) for each in estimate(model, tuple(map(quantisers_of, asked)), cache, seed)]
    first = told[0]
    answer = {
        "model": model.name,
        "checkpoint": own,
        "kv_precision": cache,
        **{key: first[key] for key in ("sqnr_db", "sqnr_band_db", "recovery")},
        "schemes": told,
        "formula": FORMULA,
        "limits": LIMITS,
        "assumptions": [
            {"name": each.path, **each.quantity.model_dump(exclude={"sd", "date"})}
            for each in provenances("fidelity", fidelity_table())
        ],
    }
    return model, answer


def _told(model: Model, each: Fidelity) -> dict[str, Any]:
    recovery, ratio = recovery_of(model, each), each.sqnr_db
    return {
        "scheme": each.scheme.name,
        "reference": each.reference,
        "sqnr_db": ratio.value,
        "sqnr_band_db": {"low": ratio.low, "high": ratio.high},
        "recovery": {
            "low": recovery.low,
            "high": recovery.high,
            "standing": recovery.standing,
            "sources": list(recovery.sources),
        },
        "products": [
            {
                "part": part.name,
                "scheme": part.scheme,
                "inputs": part.inputs,
                "sqnr_db": _range_db(part.noise.result),
                "weights_sqnr_db": _range_db(part.noise.weights),
                "activations_sqnr_db": _range_db(part.noise.activations),
            }
            for part in each.parts
        ],
        "kv_sqnr_db": _range_db(each.cache),
    }


def _range_db(noise: Noise) -> dict[str, float]:
    ratio = ratio_db(noise)
    return {"value": ratio.value, "low": ratio.low, "high": ratio.high}
