"""What the software does with a chip: policy, compiled shapes, step paths, host time, KV cache."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.named import with_base
from npusim.ledger import Bytes, BytesOrZero, Count, Duration, Efficiency, Few, Fraction, Tokens

Size = Annotated[int, Field(gt=0, le=10**7, strict=True)]
"""Sequences or tokens of a compiled shape."""
MOST_SIZES = 1024


class ExclusivePolicy(Part):
    """Every waiting request that fits is prefilled, alone and at batch 1, before the next decode step."""

    kind: Literal["exclusive"]
    source: str


class AlternatePolicy(Part):
    """At most one waiting request is prefilled, alone, between two decode steps."""

    kind: Literal["alternate"]
    source: str


class HybridPolicy(Part):
    """Decoding sequences and chunks of waiting prompts share a step, up to `token_budget` tokens."""

    kind: Literal["hybrid"]
    token_budget: Tokens
    source: str


Policy = Annotated[ExclusivePolicy | AlternatePolicy | HybridPolicy, Field(discriminator="kind")]


class ExactShapes(Part):
    """Every size runs as it is."""

    kind: Literal["exact"]
    source: str


class BucketShapes(Part):
    """A size runs as the next compiled one; more than the largest runs in several pieces."""

    kind: Literal["buckets"]
    sizes: tuple[Size, ...] = Field(min_length=1, max_length=MOST_SIZES)
    source: str

    @model_validator(mode="after")
    def _sizes_rise(self) -> BucketShapes:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("sizes must rise")
        return self


class SlotShapes(Part):
    """A decode step computes all sequence slots of the server, live or not."""

    kind: Literal["slots"]
    source: str


BatchShapes = Annotated[ExactShapes | BucketShapes | SlotShapes, Field(discriminator="kind")]
ChunkShapes = Annotated[ExactShapes | BucketShapes, Field(discriminator="kind")]


class RaggedAttention(Part):
    """One execution reads each sequence's own context."""

    kind: Literal["ragged"]
    source: str


class UniformAttention(Part):
    """One execution computes every sequence over the longest context, rounded up to a multiple, without masking."""

    kind: Literal["uniform"]
    multiple: Size
    source: str


class GroupedAttention(Part):
    """One execution per compiled context bucket that holds a sequence; in it every sequence costs the whole bucket."""

    kind: Literal["grouped"]
    contexts: tuple[Size, ...] = Field(min_length=1, max_length=MOST_SIZES)
    source: str

    @model_validator(mode="after")
    def _contexts_rise(self) -> GroupedAttention:
        if list(self.contexts) != sorted(set(self.contexts)):
            raise ValueError("contexts must rise")
        return self


AttentionShapes = Annotated[RaggedAttention | UniformAttention | GroupedAttention, Field(discriminator="kind")]


class StepPath(Part):
    """The compiled graph that serves a step, with its fixed costs.

    serves: the phase; max_batch: largest batch (sequences) that it serves. operator_launch: time between dependent
    operators; attention_execution: fixed time of one attention execution; expert_execution: of the experts of a layer
    (sorting tokens in kernels of its own); hidden: part of these and of
    collectives that hides under the operator's memory stream (left out on a contraction processor: its queues decide);
    step_launch: once per step. graph: what is compiled as one program, in which the weights of later operators are
    fetched ahead.
    """

    name: str
    serves: Literal["decode", "prefill"]
    max_batch: Count
    operator_launch: Duration
    attention_execution: Duration
    expert_execution: Duration | None = None
    hidden: Fraction | None = None
    step_launch: Duration
    graph: Literal["operator", "step"] = "operator"


class Host(Part):
    """Host time beside the chip's.

    step_time: scheduling, sampling calls and launch of one step; it hides behind the step before when the queue holds
    more than one step. request_time: between the client's sending and the request's place in the queue. A stall hits
    a step with `stall_probability` and lasts `stall_time` (mean, exponential). sampling_time: per sequence, where
    tokens are sampled on the host (0 where the chip samples). token_time: for which one process of the front end is
    busy with each token that goes to a client; it works beside the chip, and a step lasts until it is done.
    """

    step_time: Duration
    request_time: Duration
    queue_limit: Few
    stall_probability: Fraction
    stall_time: Duration
    sampling: Literal["host", "chip"]
    sampling_time: Duration
    token_time: Duration | None = None


class KvCacheRules(Part):
    """How KV memory is kept: type, block, what is held back, when admission stops.

    admission: a request is admitted when its `prompt` has room, others being pre-empted where blocks run out later, or
    only when the `answer` of every request in service has room too.
    """

    precision: Literal["bf16", "fp8", "int8"]
    block: Tokens
    reserved: BytesOrZero
    memory_fraction: Efficiency
    admission_watermark: Efficiency
    prefix_caching: bool
    admission: Literal["prompt", "answer"] = "prompt"


class RuntimeLimits(Part):
    """max_sequences: most sequences in service; max_waiting: most requests in the queue (others are refused)."""

    max_sequences: Count
    max_waiting: Count | None = None


class Kernels(Part):
    """Names of the chip's kernel libraries that the runtime uses (GPUs).

    attention_fp8: for keys and values of 8 bits, without a name the library of the others; grouped: for experts;
    latent, latent_prompt: the libraries of `attention` for MLA, of decoding and of prompts. Without a name, the chip's
    first that can do it.
    """

    linear: str
    attention: str
    vector: str
    attention_fp8: str | None = None
    grouped: str | None = None
    latent: str | None = None
    latent_prompt: str | None = None


class Offload(Part):
    """What a runtime gives to PIM units where they are predicted to be faster.

    policy: linear products of the layers, attention of decoding sequences, or both; head: part of the LM head's columns
    that goes with the products, where the units multiply its type; weights: `shared` keeps one copy, laid out for the
    units, `copied` one for each.
    """

    policy: Literal["none", "linear", "attention", "both"]
    head: Fraction
    weights: Literal["shared", "copied"]
    source: str


class Runtime(Part):
    """A serving runtime, apart from the chip that it drives. pe_fusion: PEs of a chip that work as one.

    collectives: names of the libraries of the chip's fabric that it uses, none for the first; paths are kept in the
    order of their largest batch; decode_batch_across_cards: where a model on several cards is compiled for other
    batches; experts_when_compiled: the graph fixes how many experts run, each row with its own while no more rows than
    experts can come, else all.
    """

    name: str
    title: str
    unit: Literal["contraction_processor", "gpu"]
    policy: Policy
    decode_batch: BatchShapes
    decode_batch_across_cards: BatchShapes | None = None
    prefill_chunk: ChunkShapes
    attention: AttentionShapes
    pe_fusion: Few
    activations_in_sram: bool
    experts_when_compiled: bool = False
    kernels: Kernels | None = None
    collectives: tuple[str, ...] = ()
    offload: Offload | None = None
    paths: tuple[StepPath, ...] = Field(min_length=1)
    host: Host
    kv: KvCacheRules
    limits: RuntimeLimits
    activation_workspace: Bytes

    @model_validator(mode="before")
    @classmethod
    def _on_its_base(cls, data: Any) -> Any:
        return with_base("runtimes", data)

    @field_validator("paths")
    @classmethod
    def _paths_by_batch(cls, paths: tuple[StepPath, ...]) -> tuple[StepPath, ...]:
        return tuple(sorted(paths, key=lambda path: path.max_batch.value))

    @model_validator(mode="after")
    def _both_phases_are_served(self) -> Runtime:
        phases = {path.serves for path in self.paths}
        if phases != {"decode", "prefill"}:
            raise ValueError("paths must serve both decode and prefill")
        if self.unit == "gpu" and any(path.hidden is None for path in self.paths):
            raise ValueError("a GPU's paths need 'hidden': the part of fixed times that hides under the memory stream")
        if self.unit == "gpu" and self.kernels is None:
            raise ValueError("a GPU's runtime needs 'kernels': the libraries that it uses")
        return self

    def offloading(self, policy: str, weights: str | None = None) -> Runtime:
        """The runtime with another policy for PIM units. Raises UserError for one that knows no such units."""
        if self.offload is None:
            raise UserError(
                self.name, "offload", "this runtime has no part 'offload'; add it, or choose another runtime"
            )
        changes = {"policy": policy} | ({} if weights is None else {"weights": weights})
        return self.model_copy(update={"offload": self.offload.model_copy(update=changes)})

    def on_cards(self, cards: int) -> Runtime:
        """The runtime as a model on `cards` cards is compiled for it."""
        if cards == 1 or self.decode_batch_across_cards is None:
            return self
        return self.model_copy(update={"decode_batch": self.decode_batch_across_cards})
