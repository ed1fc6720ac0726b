"""What the software does with a chip: policy, compiled shapes, step paths, host time, KV cache."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field, field_validator, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.description import Description
from npusim.hardware.kv_layouts import LAYOUTS
from npusim.hardware.units import KINDS
from npusim.ledger import Bandwidth, Bytes, BytesOrZero, Count, Duration, Efficiency, Few, Fraction, Tokens

Size = Annotated[int, Field(gt=0, le=10**7, strict=True)]
"""Sequences or tokens of a compiled shape."""
MOST_SIZES = 1024
"""Compiled shapes in one list."""
MOST_ARTIFACTS = 16
"""Artifacts of one server beside the shapes of its runtime."""
OWN_SHAPES = "own"
"""What the shapes of a runtime itself are called among its artifacts."""


class SchedulingPolicy(Part):
    """When waiting prompts are computed; each kind has its class here, and what it does in serving/policies.py."""

    kind: str
    """Kind of policy."""
    source: str
    """Document or measurement that says so."""


class ExclusivePolicy(SchedulingPolicy):
    """Every waiting request that fits is prefilled, alone and at batch 1, before the next decode step."""

    kind: Literal["exclusive"]
    """Kind of policy."""


class AlternatePolicy(SchedulingPolicy):
    """At most one waiting request is prefilled, alone, between two decode steps."""

    kind: Literal["alternate"]
    """Kind of policy."""


class InterleavedPolicy(SchedulingPolicy):
    """Chunks of waiting prompts are computed alone, one after the other, until as many tokens as `token_budget` are,
    padding included; then the decoding sequences take a step."""

    kind: Literal["interleaved"]
    """Kind of policy."""
    token_budget: Tokens
    """Most prompt tokens between two decode steps, as compiled, in tokens; one chunk is computed in any case."""


class HybridPolicy(SchedulingPolicy):
    """Decoding sequences and chunks of waiting prompts share a step, up to `token_budget` tokens."""

    kind: Literal["hybrid"]
    """Kind of policy."""
    token_budget: Tokens
    """Most tokens of one step, in tokens."""


if TYPE_CHECKING:
    Policy = SchedulingPolicy
else:
    Policy = Annotated[Union[tuple(SchedulingPolicy.__subclasses__())], Field(discriminator="kind")]  # noqa: UP007


class ExactShapes(Part):
    """Every size runs as it is."""

    kind: Literal["exact"]
    """Kind of shapes."""
    source: str
    """Document or measurement that says so."""


class BucketShapes(Part):
    """A size runs as the next compiled one; more than the largest runs in several pieces."""

    kind: Literal["buckets"]
    """Kind of shapes."""
    sizes: tuple[Size, ...] = Field(min_length=1, max_length=MOST_SIZES)
    """Compiled sizes, in sequences or tokens, rising."""
    source: str
    """Document or measurement that says so."""

    @model_validator(mode="after")
    def _sizes_rise(self) -> BucketShapes:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("sizes must rise")
        return self


class SlotShapes(Part):
    """A decode step computes all sequence slots of the server, live or not."""

    kind: Literal["slots"]
    """Kind of shapes."""
    source: str
    """Document or measurement that says so."""


BatchShapes = Annotated[ExactShapes | BucketShapes | SlotShapes, Field(discriminator="kind")]
ChunkShapes = Annotated[ExactShapes | BucketShapes, Field(discriminator="kind")]


class RaggedAttention(Part):
    """One execution reads each sequence's own context."""

    kind: Literal["ragged"]
    """Kind of attention."""
    source: str
    """Document or measurement that says so."""


class UniformAttention(Part):
    """One execution computes every sequence over the longest context, rounded up to a multiple, without masking."""

    kind: Literal["uniform"]
    """Kind of attention."""
    multiple: Size
    """Number of tokens to a multiple of which the longest context is rounded up."""
    source: str
    """Document or measurement that says so."""


class GroupedAttention(Part):
    """One execution per compiled context bucket that holds a sequence; in it every sequence costs the whole bucket."""

    kind: Literal["grouped"]
    """Kind of attention."""
    contexts: tuple[Size, ...] = Field(min_length=1, max_length=MOST_SIZES)
    """Compiled contexts, in tokens, rising."""
    source: str
    """Document or measurement that says so."""

    @model_validator(mode="after")
    def _contexts_rise(self) -> GroupedAttention:
        if list(self.contexts) != sorted(set(self.contexts)):
            raise ValueError("contexts must rise")
        return self


AttentionShapes = Annotated[RaggedAttention | UniformAttention | GroupedAttention, Field(discriminator="kind")]


class Artifact(Part):
    """A compiled artifact that a server holds beside the shapes of its runtime; a step runs in one of them."""

    name: str
    """Name of the artifact, for people."""
    decode_batch: BucketShapes
    """Compiled batches of decoding."""
    prefill_chunk: BucketShapes
    """Compiled lengths of prompt chunks."""
    tokenwise: BucketShapes | None = None
    """Compiled numbers of a chunk's new tokens for all but attention, those of `prefill_chunk` if omitted."""
    attention: GroupedAttention
    """Compiled contexts of attention."""


class StepPath(Part):
    """The compiled graph that serves a step, with its fixed costs."""

    name: str
    """Name of the path, for people."""
    serves: Literal["decode", "prefill"]
    """Phase that it serves."""
    max_batch: Count | None = None
    """Largest batch that it serves, as a number of sequences, where another path of its phase serves larger ones; the
    last of them serves any, and leaves it out."""
    operator_launch: Duration
    """Time between dependent operators, in seconds."""
    attention_execution: Duration
    """Fixed time of one attention execution, in seconds."""
    expert_execution: Duration | None = None
    """Fixed time of the experts of a layer where tokens are sorted in kernels of their own, in seconds; none where left
    out."""
    hidden: Fraction | None = None
    """Fraction of these times and of collectives, 0 to 1, that hides under the operator's memory stream; left out on a
    contraction processor, whose queues decide."""
    query_cast: Duration | None = None
    """Fixed time of the kernel that casts queries to the type of 8-bit keys before attention, in seconds; none if
    omitted."""
    step_launch: Duration
    """Fixed time of a step, in seconds."""
    layer_launch: Duration | None = None
    """Fixed time between the graphs of two layers, where each layer is a graph of its own, in seconds; none if
    omitted."""
    graph_tokens: Tokens | None = None
    """Largest step that is replayed as captured graphs, in tokens, beyond which the host launches operators one by one;
    all steps are replayed if omitted."""
    host_launch: Duration | None = None
    """Host time to launch an operator of a step larger than that, in seconds; the step lasts until all are launched."""
    piece_launch: Duration | None = None
    """Host time to launch attention and the captured piece after it in a layer of a step no larger than that, in
    seconds; none if omitted."""
    expert_host_launch: Duration | None = None
    """Host time to launch the experts of a layer in such a step, in seconds; that of an operator if omitted."""
    collective_host_launch: Duration | None = None
    """Host time to launch a collective among chips in such a step, in seconds; that of an operator if omitted."""
    graph: Literal["operator", "layer", "step"] = "operator"
    """What is compiled as one program, within which the weights of later operators are fetched ahead; under `layer`
    attention is a program of its own, before which no keys and values are fetched."""


class Host(Part):
    """Host time beside the chip's."""

    step_time: Duration
    """Time to schedule and launch a step, in seconds; it hides behind the step before where the queue holds more than
    one."""
    request_time: Duration
    """Time from the client's sending until the request is in the queue, in seconds."""
    intake_time: Duration | None = None
    """Time for which the one front-end process is busy with each request before it is in the queue, in seconds; none
    if omitted."""
    intake_token_time: Duration | None = None
    """Time for which it is busy with each token of the request's prompt besides, in seconds; none if omitted."""
    queue_limit: Few
    """Number of steps that the host may have launched ahead, of which 1 hides nothing."""
    schedules: Literal["after", "ahead"] = "after"
    """When the host chooses the requests of a step: `after` the step before has ended, or `ahead`, once that begins, so
    that a request which comes meanwhile waits for one step more."""
    stall_probability: Fraction
    """Fraction of steps, 0 to 1, that a host stall hits."""
    stall_time: Duration
    """Mean duration of a stall, exponentially distributed, in seconds."""
    sampling: Literal["host", "chip"]
    """Whether tokens are sampled on the host or on the chip."""
    sampling_time: Duration
    """Time to sample a token on the host, in seconds."""
    token_time: Duration | None = None
    """Time for which the one front-end process is busy with each token that goes to a client, in seconds; a step lasts
    until it is done, none if omitted."""


class KvCacheRules(Part):
    """How KV memory is kept: type, block, what is held back, when admission stops."""

    precision: Literal["bf16", "fp8", "int8"]
    """Type of keys and values unless another is asked for."""
    block: Tokens
    """Size of a block of the KV cache, in tokens."""
    layout: Literal[tuple(LAYOUTS)] = "best_runs"  # type: ignore[valid-type]
    """Order of keys and values in memory, from the outermost to the innermost index, or `best_runs`, the one of these
    whose runs waste the least of the memory's access units for the model at hand."""
    reserved: BytesOrZero
    """Memory held back from weights and KV cache, in bytes."""
    memory_fraction: Efficiency
    """Fraction of the usable memory, 0 to 1, that the runtime takes."""
    admission_watermark: Efficiency
    """Fraction of the KV cache, 0 to 1, up to which requests are admitted."""
    prefix_caching: bool
    """True where requests with a common prefix share its keys and values."""
    keeps_answers: bool = True
    """True where the prefix cache keeps the keys and values of answers as well, for later turns of the same session;
    so it is if omitted."""
    admission: Literal["prompt", "answer"] = "prompt"
    """Whether a request is admitted once its `prompt` has room, with pre-emption where blocks run out later, or only
    once the `answer` of every request in service has room too."""
    tiers: tuple[str, ...] = ()
    """Names in arch_configs/tiers, or paths, of memories to which the prefix cache lets go, the quickest first; none if
    omitted."""
    reload: Literal["load", "recompute", "faster"] = "faster"
    """Whether KV in such a tier is always loaded (`load`), never (`recompute`), or where loading is `faster`."""


class HeadRule(Part):
    """What a runtime does with heads that do not come out even over the chips of tensor parallelism."""

    query: Literal["divide", "pad"]
    """Whether the chips must `divide` the query heads, or the runtime adds (`pad`) empty ones."""
    kv: Literal["even", "any"]
    """Whether chips and KV heads must come out `even`, one number dividing the other, or `any` are taken."""
    source: str
    """Document or code that says so."""


class RuntimeLimits(Part):
    """Limits of the server."""

    max_sequences: Count
    """Largest number of sequences in service."""
    max_waiting: Count | None = None
    """Largest number of requests in the queue, beyond which they are refused; no limit if omitted."""


class Kernels(Part):
    """Names of the kernel libraries of the chip that the runtime uses (GPUs); one left out is the chip's first that can
    do the work."""

    linear: str
    """Library of matrix products."""
    attention: str
    """Library of attention."""
    vector: str
    """Library of element-wise and row-wise kernels."""
    linear_fp8: str | None = None
    """Library of matrix products of 8-bit operands; that of `linear` if omitted."""
    attention_fp8: str | None = None
    """Library of attention over 8-bit keys and values; that of `attention` if omitted."""
    grouped: str | None = None
    """Library of grouped matrix products, for experts."""
    latent: str | None = None
    """Library of latent attention (MLA) for decoding."""
    latent_prompt: str | None = None
    """Library of latent attention (MLA) for prompts."""


class Compiler(Part):
    """What a compiler for fused engines does beyond a program an operator; each is 0 where it does not."""

    whole_heads: Fraction | None = None
    """Fraction of the layers, 0 to 1, in which decoding gives each PE whole query heads, padded to as many for each,
    where they do not divide over the PEs; else two PEs share a head, which costs reductions; 0 if omitted."""
    fused_norms: Fraction | None = None
    """Fraction of the norms, 0 to 1, that are part of the program of the sum or product before them; 0 if omitted."""
    streamed_experts: Fraction | None = None
    """Fraction of the layers with experts, 0 to 1, in which the weights of all experts are one stream, the next one's
    on their way while one is multiplied; 0 if omitted."""


class Offload(Part):
    """What a runtime gives to PIM units where they are predicted to be faster."""

    policy: Literal["none", "linear", "attention", "both"]
    """Whether linear products of the layers, attention of decoding sequences, both or none may go to the units."""
    head: Fraction
    """Fraction of the LM head's columns, 0 to 1, that goes with the products where the units multiply its type."""
    weights: Literal["shared", "copied", "chosen"]
    """Whether one copy of the weights, laid out for the units, is `shared`, each has its own (`copied`), or what is the
    fastest for the load is `chosen`: weights for the chip, for the units or for both where they fit, and the KV cache
    for the chip or for the units."""
    sub_batches: Few | None = None
    """Number of parts of a decoding batch, of which one is on the units while another is on the chip (1 or 2), where
    that is faster; 1 if omitted."""
    source: str
    """Document or measurement that says so."""


class Connector(Part):
    """What moves the KV of a prompt from the instance that computed it to the one that decodes."""

    setup_time: Duration
    """Time that a transfer takes beside its bytes, in seconds."""
    rate: Bandwidth
    """Largest rate at which the software of one card moves KV, in bytes/s, where the link is not slower."""
    block_time: Duration | None = None
    """Time for which the steps of the decoding server wait while it asks for a layer's part of one block, in seconds;
    none if omitted."""
    first_token: Literal["prefill", "decode"] = "prefill"
    """Whether clients get the first token from the instance that computed the prompt, or from the one that decodes,
    which computes the last token of the prompt once more."""
    source: str
    """Document or measurement that says so."""


class Runtime(Description):
    """A serving runtime, apart from the chip that it drives."""

    FOLDER = "runtimes"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    unit: str
    """Kind of compute unit that it drives."""
    software: str | None = None
    """Name of what its software can do otherwise than labs ran it, none if omitted."""
    policy: Policy
    """How prompts and decoding sequences share the chip."""
    decode_batch: BatchShapes
    """Compiled batches of decoding."""
    decode_batch_across_cards: BatchShapes | None = None
    """Compiled batches of decoding on several cards, those of `decode_batch` if omitted."""
    prefill_chunk: ChunkShapes
    """Compiled lengths of prompt chunks."""
    tokenwise: BucketShapes | None = None
    """Compiled numbers of a chunk's new tokens for all but attention, those of `prefill_chunk` if omitted."""
    attention: AttentionShapes
    """Compiled contexts of attention."""
    artifacts: tuple[Artifact, ...] = Field(default=(), max_length=MOST_ARTIFACTS)
    """Further artifacts that the server holds at once, each with compiled shapes of its own; none if omitted."""
    pe_fusion: Few | None = None
    """Number of PEs of a chip that work as one, where the chip has so many; if omitted, or where it has fewer, the
    compiler takes as many as are fastest for each step."""
    pes_beyond: Literal["idle", "fused"] = "idle"
    """Whether PEs beyond `pe_fusion` stay `idle`, or are `fused` with them where that is faster."""
    activations_in_sram: bool
    """True where activations stay in SRAM between operators."""
    kept_in_sram: Fraction | None = None
    """Fraction of the SRAM that activations and tiles leave, 0 to 1, in which weights and KV stay from step to step;
    none if omitted."""
    experts_when_compiled: bool = False
    """True where the graph fixes how many experts run: each row with its own while no more rows than experts can come,
    else all."""
    casts_fused: bool = False
    """True where a type conversion after a norm or an activation is part of its kernel."""
    compiler: Compiler = Compiler()
    """What the compiler does beyond a program an operator, nothing if omitted."""
    kernels: Kernels | None = None
    """Kernel libraries of a GPU, omitted for other units."""
    collectives: tuple[str, ...] = ()
    """Names of the libraries of the chip's fabric that it uses, the fabric's first if omitted."""
    offload: Offload | None = None
    """What may go to PIM units; a runtime without it knows none."""
    paths: tuple[StepPath, ...] = Field(min_length=1)
    """Compiled graphs of decoding and of prefill, kept in the order of their largest batch."""
    host: Host
    """Times of the host."""
    kv: KvCacheRules
    """Rules of the KV cache."""
    limits: RuntimeLimits
    """Limits of the server."""
    heads: HeadRule | None = None
    """Which numbers of chips may share the heads of a model; unknown if omitted, so that uneven ones are priced as
    padding where they are asked for, and never recommended."""
    connector: Connector | None = None
    """What moves KV where prompts are computed apart from decoding; free and as fast as the link if omitted."""
    activation_workspace: Bytes
    """Memory of a chip set aside for activations, in bytes."""

    @field_validator("unit")
    @classmethod
    def _a_known_unit(cls, unit: str) -> str:
        if unit not in KINDS:
            raise ValueError(f"'{unit}' is no kind of compute unit; known: {', '.join(KINDS)}")
        return unit

    @field_validator("paths")
    @classmethod
    def _paths_by_batch(cls, paths: tuple[StepPath, ...]) -> tuple[StepPath, ...]:
        return tuple(sorted(paths, key=lambda path: math.inf if path.max_batch is None else path.max_batch.value))

    @model_validator(mode="after")
    def _artifacts_are_compiled(self) -> Runtime:
        names = [OWN_SHAPES, *(each.name for each in self.artifacts)]
        if len(set(names)) < len(names):
            raise ValueError(f"artifacts need names of their own, and none may be called {OWN_SHAPES}")
        shapes = self.decode_batch.kind, self.prefill_chunk.kind, self.attention.kind
        if self.artifacts and shapes != ("buckets", "buckets", "grouped"):
            raise ValueError(
                "artifacts stand beside compiled shapes: decode_batch and prefill_chunk in buckets, attention grouped"
            )
        return self

    @model_validator(mode="after")
    def _both_phases_are_served(self) -> Runtime:
        phases = {path.serves for path in self.paths}
        if phases != {"decode", "prefill"}:
            raise ValueError("paths must serve both decode and prefill")
        if not KINDS[self.unit].TRAITS.queues and any(path.hidden is None for path in self.paths):
            raise ValueError(
                f"a {self.unit}'s paths need 'hidden': the part of fixed times that hides under the memory stream"
            )
        if self.pe_fusion is not None and not KINDS[self.unit].TRAITS.engines:
            raise ValueError(f"a {self.unit} has no PEs to fuse; take 'pe_fusion' out")
        if self.compiler != Compiler() and not KINDS[self.unit].TRAITS.engines:
            raise ValueError(f"'compiler' says how fused engines are programmed, and a {self.unit} has none; remove it")
        if self.connector is not None and self.connector.block_time and self.connector.first_token == "prefill":
            raise ValueError("connector.block_time: is spent where first tokens are computed again; take it out")
        again = self.connector is not None and self.connector.first_token == "decode"
        if again and self.policy.kind not in ("hybrid", "interleaved"):
            raise ValueError(
                f"connector.first_token 'decode' computes a token of a prompt between decode steps, and a policy "
                f"'{self.policy.kind}' has no chunks; use prefill, or a policy hybrid or interleaved"
            )
        if KINDS[self.unit].TRAITS.libraries and self.kernels is None:
            raise ValueError(f"a {self.unit}'s runtime needs 'kernels': the libraries that it uses")
        return self

    def offloading(self, policy: str, weights: str | None = None) -> Runtime:
        """The runtime with another policy for PIM units. Raises UserError for one that knows no such units."""
        if self.offload is None:
            raise UserError(
                self.name, "offload", "this runtime has no part 'offload'; add it, or choose another runtime"
            )
        changes = {"policy": policy} | ({} if weights is None else {"weights": weights})
        return self.model_copy(update={"offload": self.offload.model_copy(update=changes)})

    def keeping_in(self, tiers: tuple[str, ...]) -> Runtime:
        """The runtime with these lower tiers of the prefix cache."""
        return self.model_copy(update={"kv": self.kv.model_copy(update={"tiers": tiers})})

    def on_cards(self, cards: int) -> Runtime:
        """The runtime as a model on `cards` cards is compiled for it."""
        if cards == 1 or self.decode_batch_across_cards is None:
            return self
        return self.model_copy(update={"decode_batch": self.decode_batch_across_cards})
