"""What a measuring table says of numerical fidelity, apart from the accuracy that a lab measures."""

from __future__ import annotations

import pandas as pd

from npusim.fidelity.assumptions import quantisers_for
from npusim.fidelity.estimate import estimate
from npusim.fidelity.recovery import recovery_of
from npusim.kperf.table import FIDELITY_METRIC, model_names, of_model
from npusim.mapping.deployment import Deployment
from npusim.words import Say


def fidelity_columns(deployment: Deployment, seed: int) -> dict[str, float | str]:
    """The columns of a deployment: the SQNR of its logits over what is assumed, and what like models kept."""
    precision = deployment.precision
    (found,) = estimate(deployment.model, (quantisers_for(precision),), precision.kv, seed)
    ratio, recovery = found.sqnr_db, recovery_of(deployment.model, found)
    return {
        FIDELITY_METRIC: ratio.value,
        f"{FIDELITY_METRIC}_low": ratio.low,
        f"{FIDELITY_METRIC}_high": ratio.high,
        "fidelity_recovery": recovery.text,
        "fidelity_sources": "; ".join(recovery.sources),
    }


def fidelity_text(cells: pd.DataFrame, say: Say) -> str:
    """A line for each model of a table: its ratio with its band, and what like models kept."""
    lines = [say("Noise of the number formats on drawn weights and activations; no score follows from it.")]
    for name in model_names(cells):
        row = of_model(cells, name).iloc[0]
        value, low, high = (f"{row[f'{FIDELITY_METRIC}{side}']:.1f}" for side in ("", "_low", "_high"))
        ratio = say("{model}: SQNR of the logits {value} dB ({low} to {high}).", model=row["model_title"], value=value,
                    low=low, high=high)  # fmt: skip
        kept = say("Published recovery of like models: {recovery}.", recovery=say(str(row["fidelity_recovery"])))
        lines.append(f"{ratio} {kept}")
    return "\n".join(lines)
