"""Whether what a lab measured makes sense, row by row."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer, plain_json
from npusim.api.deploying import Seed
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options
from npusim.inputs.limits import MOST_USERS
from npusim.publish import MANIFEST, OutFolder, publish_folder
from npusim.words import Language, Tell, speaker

if TYPE_CHECKING:
    from npusim.lab.check.result import CheckResult

_FILES = ("check.xlsx", "check.json", MANIFEST)
_TOLD = "what the files say"


@dataclass(frozen=True)
class CheckOptions(Options):
    """What `npusim check` is asked."""

    path: Annotated[Path, Argument("What was measured.", metavar="FILE|FOLDER")]
    _: KW_ONLY
    arch: Annotated[str | None, Option("Architecture that it ran on.", metavar="ARCH", default=_TOLD)] = None
    model: Annotated[str | None, Option("Model that was served.", metavar="MODEL", default=_TOLD)] = None
    precision: Annotated[
        str | None, Option("Number format of weights and activations.", metavar="SCHEME", default=_TOLD)
    ] = None
    kv_precision: Annotated[
        str | None, Option("Number format of the KV cache.", metavar="FORMAT", default="the runtime's")
    ] = None
    cards: Annotated[int | None, Option("Cards that worked together.", metavar="N", default=_TOLD, least=1)] = None
    isl: Annotated[int | None, Option("Input tokens of a request.", metavar="N", default=_TOLD, least=1)] = None
    osl: Annotated[int | None, Option("Output tokens of a request.", metavar="N", default=_TOLD, least=1)] = None
    users: Annotated[
        int | None, Option("Most requests in flight.", metavar="N", default=_TOLD, least=1, most=MOST_USERS)
    ] = None
    plan: Annotated[
        str | None, Option("Parallel plan, as in tp4-dp2.", metavar="PLAN", default="every one that has room")
    ] = None
    prefix_caching: Annotated[
        bool | None, Option("Whether the server kept the KV of common prefixes.", default="either")
    ] = None
    prompts: Annotated[
        Literal["different", "alike"] | None, Option("Whether requests shared their prompt.", default="either")
    ] = None
    lengths: Annotated[
        str | None,
        Option(
            "Spread of the lengths about --isl and --osl: fixed, ±20%, 80%-100% or lognormal:cv=0.6; of both, or as "
            "PROMPTS/OUTPUTS.",
            metavar="SPREAD",
            default=f"{_TOLD}; runs of which they do not are not predicted",
        ),
    ] = None
    tensor_parallel: Annotated[
        int | None, Option("Chips that shared every layer.", names=("--tp",), metavar="N", default=_TOLD, least=1)
    ] = None
    runtime: Annotated[str | None, Option("Serving runtime by its name.", metavar="NAME", default=_TOLD)] = None
    speculation: Annotated[
        str | None,
        Option(
            "How tokens were drafted, or none.",
            names=("--speculate",),
            metavar="none|FILE|ngram:k=4|draft:MODEL:k=5|eagle:k=3|mtp:k=1",
            default="open: bounds on steps then only make figures implausible",
        ),
    ] = None
    out: Annotated[
        Path | None,
        Option(
            "Write check.xlsx and check.json into this folder, which must hold neither yet.",
            metavar="DIR",
            writes=OutFolder(_FILES, kept=True),
        ),
    ] = None
    lang: Annotated[Language, Option("Language of what is printed and of check.xlsx; check.json is in English.")] = "en"
    seed: Seed = 0
    say: Tell | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lengths is not None:
            from npusim.workload.lengths import parse_spreads

            parse_spreads(self.lengths, "--lengths")


@dataclass(frozen=True)
class CheckAnswer:
    """found: the rows with their verdicts; files: written ones; manifest: what made them."""

    found: CheckResult
    files: list[str]
    manifest: Answer

    @property
    def answer(self) -> Answer:
        """Everything, as the command line's JSON has it."""
        return {**self.found.as_dict(), "files": self.files}


@asked_by(CheckOptions)
def check(asked: CheckOptions) -> CheckAnswer:
    """Verdicts on measured results and on how they were measured, row by row. Raises UserError."""
    from npusim.lab.check.result import check_measured as examine
    from npusim.lab.files.lab_run import RunConditions

    same = {name: getattr(asked, name) for name in RunConditions.names() if hasattr(asked, name)}
    given = RunConditions(device=asked.arch, **same)
    found = examine(Path(asked.path), given, asked.seed, asked.say or (lambda _: None))
    files = [] if asked.out is None else _write(found, asked, Path(asked.out))
    return CheckAnswer(found, files, asked.manifest("check"))


def _write(found: CheckResult, asked: CheckOptions, out: Path) -> list[str]:
    """check.xlsx, check.json and manifest.json in `out`, all or none; their paths from here."""
    from npusim.lab.check.conformity import conformity
    from npusim.lab.check.workbook import write_check_workbook

    def write(folder: Path) -> list[str]:
        checked = conformity(found.rows)
        record = asked.manifest("check")
        write_check_workbook(found, checked, record, folder / _FILES[0], speaker(asked.lang))
        for name, content in zip(_FILES[1:], (found.as_dict(), record), strict=True):
            text = json.dumps(plain_json(content), indent=2, ensure_ascii=False, allow_nan=False)
            (folder / name).write_text(f"{text}\n", encoding="utf-8")
        return list(_FILES)

    return [str(out / name) for name in publish_folder(write, out, kept=True)]
