"""A recorded command made fit to be run again: nothing that it names is overwritten, and no other machine is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from npusim.api.calibrating import CalibrateOptions
from npusim.api.catalog import ListOptions, ShowOptions
from npusim.api.certifying import CertifyOptions
from npusim.api.channels import DramOptions
from npusim.api.checking import CheckOptions
from npusim.api.collectives import CollectiveOptions
from npusim.api.comparing import CompareOptions
from npusim.api.evaluating import EvaluateOptions
from npusim.api.fleets import FleetOptions
from npusim.api.generating import GenerateOptions
from npusim.api.grids import KPerfOptions
from npusim.api.importing import ImportOptions
from npusim.api.neuromorphics import NeuromorphicOptions
from npusim.api.options import Argument, Declared, Options, declared_options
from npusim.api.pim_comparing import PimCompareOptions
from npusim.api.pims import AttentionOptions, GemvOptions, StreamOptions
from npusim.api.planning_tests import PlanTestsOptions
from npusim.api.precisions import PrecisionOptions
from npusim.api.registering import PredictOptions
from npusim.api.runs import RunOptions
from npusim.api.steps import StepOptions
from npusim.api.swapping import SwapOptions
from npusim.api.sweeps import SweepOptions
from npusim.api.validating import ValidateOptions
from npusim.errors import UserError
from npusim.publish import OutFolder

REPLAYED: dict[str, type[Options]] = {
    "calibrate": CalibrateOptions,
    "certify": CertifyOptions,
    "check": CheckOptions,
    "collective": CollectiveOptions,
    "compare": CompareOptions,
    "dram": DramOptions,
    "evaluate": EvaluateOptions,
    "fleet": FleetOptions,
    "generate": GenerateOptions,
    "import": ImportOptions,
    "kperf": KPerfOptions,
    "list": ListOptions,
    "neuromorphic": NeuromorphicOptions,
    "pim attention": AttentionOptions,
    "pim compare": PimCompareOptions,
    "pim gemv": GemvOptions,
    "pim stream": StreamOptions,
    "plan-tests": PlanTestsOptions,
    "precision": PrecisionOptions,
    "predict": PredictOptions,
    "run": RunOptions,
    "show": ShowOptions,
    "step": StepOptions,
    "swap": SwapOptions,
    "sweep": SweepOptions,
    "validate": ValidateOptions,
}
"""The options of each command that may be run again. The others read results; they make none."""


_SPOKEN = "--lang"
"""The option that every command has, and those alone declare that write files in a language."""


@dataclass(frozen=True)
class Replay:
    """words: the command; folder: where the folder of results is written now, None where it writes none."""

    words: tuple[str, ...]
    folder: Path | None


def replay(argv: Sequence[str], scratch: Path, location: str) -> Replay:
    """The recorded words with each output in `scratch`, and without what only says where the work is done.

    Of an option that is given several times the last counts, or all where it takes several words, as it does on the
    command line. location: the file that records them, for messages. Raises UserError for a command or an option that
    is not known.
    """
    command, rest = _command(argv, location)
    known = {name: each for each in declared_options(REPLAYED[command]) for name in _spellings(each)}
    plain: list[str] = []
    given: dict[str, tuple[str, ...]] = {}
    folder = None
    words = iter(rest)
    for word in words:
        name, assigned, value = word.partition("=")
        if word == "--json":
            continue
        if not word.startswith("-"):
            plain.append(_here(word, location))
            continue
        if name == _SPOKEN and name not in known:
            # Of commands that write nothing in a language it says only what they print in.
            next(iter([value]) if assigned else words, "")
            continue
        if name not in known or isinstance(known[name].told, Argument):
            raise UserError(
                location, "argv", f"records the option {name}, which {command} does not have; nothing was run"
            )
        option = known[name]
        if option.kinds == (bool,):
            given[option.field] = (name,)
            continue
        value = value if assigned else next(words, "")
        if not option.told.replayed:  # type: ignore[union-attr]
            continue
        writes = option.told.writes  # type: ignore[union-attr]
        if writes is not None:
            value = str(scratch / option.field / (Path(value).name.strip(".") or "out"))
            (scratch / option.field).mkdir(exist_ok=True)
            folder = Path(value) if isinstance(writes, OutFolder) else folder
        else:
            _here(value, location)
        before = given.get(option.field) if option.many else None
        given[option.field] = (option.names[0], f"{before[1]},{value}" if before else value)
    return Replay((*command.split(), *plain, *(word for pair in given.values() for word in pair)), folder)


def _command(argv: Sequence[str], location: str) -> tuple[str, Sequence[str]]:
    for length in (2, 1):
        if " ".join(argv[:length]) in REPLAYED:
            return " ".join(argv[:length]), argv[length:]
    raise UserError(location, "argv", "records no command that can be run again")


def _here(word: str, location: str) -> str:
    """The word, whose paths start from here. Raises UserError: of an absolute path a manifest keeps the last part."""
    if any(Path(part).is_absolute() for part in word.split(",")):
        raise UserError(location, "argv", f"records the absolute path {word}, which npusim never does; nothing was run")
    return word


def _spellings(option: Declared) -> tuple[str, ...]:
    off = tuple(name.replace("--", "--no-", 1) for name in option.names)
    return (*option.names, *(off if option.kinds == (bool,) else ()))
