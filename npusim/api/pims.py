"""Single operations on memories with PIM units: matrix-vector products, attention, element-wise streams."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from npusim.api.answer import Answer
from npusim.api.function import asked_by
from npusim.api.options import Argument, Option, Options, warn_of
from npusim.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from npusim.answers.pim_bench import Operation
    from npusim.hardware.pim import Pim

_Memory = Annotated[str, Argument("A shipped memory with PIM units, a path, or an architecture that has one.")]


@dataclass(frozen=True, kw_only=True)
class BenchOptions(Options):
    """What every single operation is asked."""

    dtype: Annotated[
        str | None,
        Option(
            "Number format: bf16, fp16, int8, w4a8, w8a16 or w4a16.", metavar="TYPE", default="the first of the units"
        ),
    ] = None
    placement: Annotated[
        Literal["bank", "bank_group", "buffer"] | None,
        Option("Where the units are placed, for memories described in several ways.", default="as described"),
    ] = None
    power_limit: Annotated[bool, Option("Stretch multiplications as a power limit does, or let them run free.")] = True
    fence: Annotated[
        str | None, Option('Time of a host fence, such as "150 ns".', metavar="TIME", default="as described")
    ] = None
    interval: Annotated[bool, Option("Give every figure with its 90 % interval.")] = False
    seed: Annotated[
        int,
        Option(
            "Seed of the memories that are drawn for --interval.",
            metavar="N",
            least=0,
            most=2**63 - 1,
            only_with=("interval", True),
            softly=True,
        ),
    ] = 0


@dataclass(frozen=True)
class GemvOptions(BenchOptions):
    """What `npusim pim gemv` is asked."""

    memory: _Memory
    _: KW_ONLY
    outputs: Annotated[int, Option("Rows of the matrix.", names=("--out", "--out-dim"), metavar="N", least=1)]
    inputs: Annotated[int, Option("Columns of the matrix.", names=("--in", "--in-dim"), metavar="K", least=1)]
    batch: Annotated[int, Option("Vectors, each of which passes the matrix anew.", metavar="B", least=1)] = 1


@dataclass(frozen=True)
class AttentionOptions(BenchOptions):
    """What `npusim pim attention` is asked."""

    memory: _Memory
    _: KW_ONLY
    heads: Annotated[int, Option("Query heads of each sequence.", metavar="N", least=1)]
    kv: Annotated[int, Option("Tokens attended by each sequence.", names=("--kv", "--kv-len"), metavar="L", least=1)]
    head_dim: Annotated[int, Option("Elements of a head's vectors.", metavar="N", least=1)] = 128
    kv_heads: Annotated[
        int | None,
        Option("KV heads of each sequence.", metavar="N", default="one for each query head", least=1),
    ] = None
    batch: Annotated[int, Option("Sequences that decode at the same time.", metavar="B", least=1)] = 1


@dataclass(frozen=True)
class StreamOptions(BenchOptions):
    """What `npusim pim stream` is asked."""

    memory: _Memory
    _: KW_ONLY
    op: Annotated[Literal["add", "mul", "relu"], Option("Operation on each of the elements.")]
    elements: Annotated[int, Option("Elements of each of the arrays.", metavar="N", least=1)]


@dataclass(frozen=True)
class BenchResult:
    """described: the memory; answer: everything, as the command line's JSON has it; manifest: what made it."""

    described: Pim
    answer: Answer
    manifest: Answer


@asked_by(GemvOptions)
def pim_gemv(asked: GemvOptions) -> BenchResult:
    """A matrix-vector product w[outputs, inputs] . x on PIM units. Raises UserError."""
    from npusim.answers.pim_bench import gemv_commands

    return _bench(
        asked,
        asked.memory,
        "gemv",
        lambda it: gemv_commands(it, asked.outputs, asked.inputs, asked.batch, asked.dtype),
    )


@asked_by(AttentionOptions)
def pim_attention(asked: AttentionOptions) -> BenchResult:
    """Attention of decoding sequences on PIM units. Raises UserError."""
    from npusim.answers.pim_bench import attention_commands

    return _bench(
        asked,
        asked.memory,
        "attention",
        lambda it: attention_commands(
            it, asked.heads, asked.kv, asked.head_dim, asked.batch, asked.kv_heads, asked.dtype
        ),
    )


@asked_by(StreamOptions)
def pim_stream(asked: StreamOptions) -> BenchResult:
    """An element-wise operation on PIM units. Raises UserError."""
    from npusim.answers.pim_bench import stream_commands

    return _bench(asked, asked.memory, "stream", lambda it: stream_commands(it, asked.op, asked.elements, asked.dtype))


def _bench(asked: BenchOptions, memory: str, command: str, operation: Callable[[Pim], Operation]) -> BenchResult:
    from npusim.answers.pim_bench import measure_pim
    from npusim.answers.pim_devices import assumptions, device

    described = device(memory, asked.placement)
    budget = described.controller.power_budget
    if not asked.power_limit and described.unit.mac.power_factor.value == 1.0 and budget is None:
        warn_of("--no-power-limit", f"no power limit stretches the multiplications of {described.name}")
    answer = measure_pim(
        described,
        operation(described),
        power_limit=asked.power_limit,
        fence_s=_seconds(asked.fence),
        interval_wanted=asked.interval,
        seed=asked.seed,
    )
    answer |= {"note": described.note, "assumptions": assumptions(described)}
    return BenchResult(described, answer, asked.manifest(f"pim {command}"))


def _seconds(fence: str | None) -> float | None:
    from npusim.units import to_si

    if fence is None:
        return None
    try:
        seconds = to_si(fence, "s")
    except ValueError as error:
        raise UserError("--fence", "", str(error)) from error
    if not seconds >= 0.0:
        raise UserError("--fence", "", f"{fence} must be zero or more")
    return seconds
