"""A load that is described, drawn by a seed and written as a trace."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from npusim.api.answer import Answer
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.inputs.limits import MOST_REQUESTS
from npusim.publish import OutFile, publish_file

_MARK = b'"after_answer_s"'
"""What is in each trace of sessions."""


@dataclass(frozen=True)
class GenerateOptions(Options):
    """What `npusim generate` is asked."""

    load: Annotated[str, Argument("A shipped load or the path of a YAML file.", metavar="LOAD")]
    _: KW_ONLY
    out: Annotated[
        Path | None,
        Option(
            "File of the trace, which npusim run --trace reads.",
            metavar="TRACE.jsonl",
            default="nothing is written",
            writes=OutFile({".jsonl": _MARK}),
        ),
    ] = None
    requests: Annotated[
        int | None,
        Option(
            "Requests of the trace, the first ones of the load.",
            metavar="N",
            default="all of the load's sessions",
            least=1,
            most=MOST_REQUESTS,
        ),
    ] = None
    seed: Seed = 0


@dataclass(frozen=True)
class GenerateResult:
    """answer: what was drawn, as the command line's JSON has it; files: those that were written."""

    answer: Answer
    files: tuple[str, ...]
    asked: GenerateOptions

    @cached_property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("generate")


@asked_by(GenerateOptions)
def generate(asked: GenerateOptions) -> GenerateResult:
    """What a described load is in numbers; with `out` its requests are written. Raises UserError."""
    from npusim.workload.loads.catalog import described_load, load_path
    from npusim.workload.loads.draw import draw_trace
    from npusim.workload.loads.facts import facts_of
    from npusim.workload.loads.write import trace_text

    path = load_path(asked.load, "LOAD")
    told = described_load(path)
    trace = draw_trace(told, path, asked.seed, asked.requests)
    if asked.out is not None:
        publish_file(asked.out, trace_text(trace))
    files = () if asked.out is None else (str(asked.out),)
    return GenerateResult(facts_of(told, trace) | {"seed": asked.seed, "files": list(files)}, files, asked)
