"""What precision schemes lose numerically: ratios of signal to quantisation noise, and published recovery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import ModelName
from npusim.api.function import asked_by
from npusim.api.options import Option, Options

if TYPE_CHECKING:
    from npusim.workload.model import Model


@dataclass(frozen=True)
class PrecisionOptions(Options):
    """What `npusim precision` is asked."""

    model: ModelName
    _: KW_ONLY
    schemes: Annotated[
        Sequence[str] | None,
        Option(
            "Number formats of weights and activations, one of those of --precision or a variant of it (int8:tensor); "
            "several with commas between them, or each after a --scheme of its own.",
            names=("--scheme",),
            metavar="SCHEME[:VARIANT]",
            default="all of --precision, the checkpoint's first",
        ),
    ] = None
    kv_precision: Annotated[str, Option("Number format of the KV cache: bf16, fp8 or int8.", metavar="FORMAT")] = "bf16"
    seed: Annotated[int, Option("Seed of the drawn weights and activations.", metavar="N", least=0, most=2**63 - 1)] = 0


@dataclass(frozen=True)
class PrecisionResult:
    """answer: everything, as the command line's JSON has it."""

    model: Model
    answer: Answer
    asked: PrecisionOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("precision")


@asked_by(PrecisionOptions)
def precision(asked: PrecisionOptions) -> PrecisionResult:
    """Signal-to-noise ratios of schemes on drawn products of the model's shapes, and published recovery. UserError."""
    from npusim.answers.fidelity import predict_fidelity

    model, answer = predict_fidelity(asked.model, asked.schemes, asked.kv_precision, asked.seed)
    return PrecisionResult(model, answer, asked)
