"""What one collective takes on the fabric of an architecture, or over the PEs of a chip."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

from npusim.api.answer import Answer
from npusim.api.deploying import Arch, Uncalibrated, warn_without_calibration
from npusim.api.function import asked_by
from npusim.api.options import Option, Options, warn_of
from npusim.errors import UserError


@dataclass(frozen=True)
class CollectiveOptions(Options):
    """What `npusim collective` is asked."""

    arch: Arch
    _: KW_ONLY
    op: Annotated[
        str,
        Option("One of all_reduce, all_gather, reduce_scatter, all_to_all, broadcast and send_recv.", metavar="NAME"),
    ]
    size: Annotated[
        float | str,
        Option(
            "The full vector (8192, 8MiB): reduced, gathered, or sent by a rank in an all-to-all.",
            names=("--bytes",),
            metavar="SIZE",
        ),
    ]
    ranks: Annotated[int, Option("Chips that take part, neighbours on the fabric.", metavar="N")]
    groups: Annotated[
        int, Option("Groups that run it at the same time.", metavar="G", only_with=("within", "server"))
    ] = 1
    algorithm: Annotated[
        str | None,
        Option(
            "Only this algorithm (ring, two_shot, ...).",
            metavar="NAME",
            default="the fastest",
            only_with=("within", "server"),
        ),
    ] = None
    library: Annotated[
        str | None,
        Option(
            "Library of collectives that is used.",
            metavar="NAME",
            default="the fabric's first",
            only_with=("within", "server"),
        ),
    ] = None
    within: Annotated[
        Literal["server", "chip"],
        Option("Chips of a server, or, for a sum of partial results, --ranks PEs of one chip."),
    ] = "server"
    interval: Annotated[bool, Option("Give the time with its 90 % interval.", only_with=("within", "server"))] = False
    seed: Annotated[
        int,
        Option(
            "Seed of the machines that are drawn for --interval.",
            metavar="N",
            least=0,
            most=2**63 - 1,
            only_with=("interval", True),
            softly=True,
        ),
    ] = 0
    uncalibrated: Uncalibrated = False


@dataclass(frozen=True)
class CollectiveResult:
    """answer: everything, as the command line's JSON has it."""

    answer: Answer
    asked: CollectiveOptions

    @property
    def manifest(self) -> Answer:
        """What made the result."""
        return self.asked.manifest("collective")


@asked_by(CollectiveOptions)
def collective(asked: CollectiveOptions) -> CollectiveResult:
    """The time of a collective, what bounds it, and the algorithms that it beat. Raises UserError."""
    from npusim.answers.collective import GroupedCollective, operation_code, predict_collective, predict_reduction

    size, code = _byte_count(asked.size), operation_code(asked.op)
    if asked.uncalibrated:
        warn_without_calibration(asked.arch)
        _warn_of_fabric(asked)
    if asked.within == "chip":
        if asked.op != "all_reduce":
            raise UserError("--op", "", f"the PEs of a chip sum partial results, no {asked.op}; use all_reduce")
        return CollectiveResult(predict_reduction(asked.arch, size, asked.ranks, asked.uncalibrated), asked)
    wanted = GroupedCollective(code, size, asked.ranks, asked.groups, asked.algorithm, asked.library)
    answer = predict_collective(
        asked.arch, wanted, seed=asked.seed, interval_wanted=asked.interval, uncalibrated=asked.uncalibrated
    )
    return CollectiveResult(answer, asked)


def _warn_of_fabric(asked: CollectiveOptions) -> None:
    """Warns where ignoring the calibration changes no number of the fabric."""
    from npusim.hardware.catalog import calibration_path, load_system
    from npusim.inputs import is_file

    path = calibration_path(asked.arch)
    if path is None or not is_file(path) or asked.within == "chip":
        return
    if load_system(asked.arch).server == load_system(asked.arch, uncalibrated=True).server:
        warn_of("--uncalibrated", f"the calibration of {asked.arch} moves no number of its fabric")


def _byte_count(given: float | str) -> float:
    from npusim.units import to_si

    try:
        count = float(given)
    except ValueError:
        try:
            count = to_si(given, "B")
        except ValueError as error:
            raise UserError("--bytes", "", f"{error}; give e.g. 8192 or 8MiB") from error
    if not 0.0 < count < float("inf"):
        raise UserError("--bytes", "", f"'{given}' must be more than zero")
    return count
