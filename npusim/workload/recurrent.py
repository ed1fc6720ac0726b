"""What mixes tokens through a state of a sequence that does not grow with its length."""

from __future__ import annotations

from dataclasses import dataclass

_STATE_BITS, _TAIL_BITS, _BITS_PER_BYTE = 32, 16, 8
"""States are kept in 32 bits where nothing else is told, what a convolution keeps in 16 (vLLM, caches of hybrids)."""


@dataclass(frozen=True)
class Recurrent:
    """A state-space layer or linear attention; its state is `heads` matrices of `key` x `value` elements.

    kind: its name; projected: columns of the projections of its input; further: products after them, as (columns,
    inputs); result: elements that the output projection takes; channels, taps: of a causal convolution, whose last
    taps - 1 inputs are kept as well; chunk: tokens that a prompt's scan takes at a time; passes: multiply-accumulates
    of a token for each element of the state (2: update and read, 3 for the delta rule, which reads before it updates);
    products: (query, key) products within a chunk, 2 for the delta rule; state_bits: of an element of the state;
    small: parameters of gates, norms and the convolution.

    Gu, Dao, arXiv 2312.00752 (Mamba); Dao, Gu, arXiv 2405.21060 (Mamba-2, the scan in chunks); Yang, Kautz,
    Hatamizadeh, arXiv 2412.06464 (gated delta rule); Kimi Team, arXiv 2510.26692 (KDA); MiniMax, arXiv 2501.08313
    (Lightning attention).
    """

    kind: str
    heads: int
    key: int
    value: int
    projected: int
    result: int
    further: tuple[tuple[int, int], ...] = ()
    channels: int = 0
    taps: int = 0
    chunk: int = 1
    passes: int = 2
    products: int = 1
    state_bits: int = _STATE_BITS
    small: int = 0

    @property
    def window(self) -> int:
        """No tokens are kept one by one."""
        return 0

    @property
    def cached(self) -> int:
        """Elements that one token leaves behind: none."""
        return 0

    @property
    def state(self) -> int:
        """Elements of the state of one sequence, the convolution's inputs left out."""
        return self.heads * self.key * self.value

    @property
    def tail(self) -> int:
        """Inputs of the convolution that are kept of one sequence."""
        return self.channels * max(0, self.taps - 1)

    def matrices(self, hidden: int) -> int:
        """Parameters of the products."""
        return hidden * (self.projected + self.result) + sum(columns * inputs for columns, inputs in self.further)

    def vectors(self, hidden: int) -> int:
        """Parameters of gates, norms and the convolution."""
        return self.small


def state_bytes(mixer: Recurrent) -> float:
    """Bytes of the state of one sequence in one layer, what the convolution keeps (16 bits) included."""
    return mixer.state * mixer.state_bits / _BITS_PER_BYTE + tail_bytes(mixer)


def tail_bytes(mixer: Recurrent) -> float:
    """Bytes of what the convolution keeps of one sequence in one layer."""
    return mixer.tail * _TAIL_BITS / _BITS_PER_BYTE
