"""What measuring a cell would tell of all others: a linear update on the logarithms of drawn figures.

Joint draws give the covariance of all cells' figures; a measurement with independent errors conditions it (Gaussian
conditioning; Rasmussen, Williams 2006, "Gaussian Processes for Machine Learning", A.2). The next cell is the one that
takes most variance from all figures together (active learning by Cohn 1996, Neural Networks 9(6)), for each minute that
it costs (Krause, Guestrin 2005, UAI, "Near-optimal nonmyopic value of information", for budgets). What is taken from a
sum of variances need not shrink from step to step, so the choice is a good one and not proven the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from npusim.lab.planning.candidates import Candidate


class Knowledge:
    """Covariance of the logarithms of all figures, (cells x figures, cells x figures), as measurements shrink it."""

    def __init__(self, cells: Sequence[Candidate], noise: np.ndarray, unexplained: np.ndarray, common: float) -> None:
        """noise: variance of a measured median, (figures,); unexplained: that a calibration left, (figures,), of which
        all cells share the part `common`."""
        self._figures = len(noise)
        logs = np.concatenate([cell.drawn for cell in cells], axis=1)
        centred = logs - logs.mean(axis=0)
        whole = centred.T @ centred / (len(logs) - 1)
        every = np.ones((len(cells), len(cells)))
        own = np.eye(len(cells))
        whole += np.kron(common * every + (1.0 - common) * own, np.diag(unexplained))
        self._whole, self._noise = whole, np.diag(noise)
        self._first = float(np.trace(whole))

    @property
    def left(self) -> float:
        """Part of the variance at the beginning that is left."""
        return float(np.trace(self._whole)) / self._first

    def gains(self) -> np.ndarray:
        """Part of the variance at the beginning that measuring each cell would take away, (cells,)."""
        size = self._figures
        rows = self._whole.reshape(-1, size, len(self._whole))
        squares = np.einsum("cik,cjk->cij", rows, rows)
        own = np.stack([self._block(cell) for cell in range(len(rows))]) + self._noise
        return np.trace(np.linalg.solve(own, squares), axis1=1, axis2=2) / self._first

    def measure(self, cell: int) -> None:
        """Condition all figures on a measurement of that cell."""
        size = self._figures
        columns = self._whole[:, cell * size : (cell + 1) * size]
        self._whole = self._whole - columns @ np.linalg.solve(self._block(cell) + self._noise, columns.T)

    def _block(self, cell: int) -> np.ndarray:
        size = self._figures
        return self._whole[cell * size : (cell + 1) * size, cell * size : (cell + 1) * size]


def greedy(
    knowledge: Knowledge, cells: Sequence[Candidate], minutes: float, taken: Iterable[int], *, per_minute: bool
) -> list[tuple[int, float]]:
    """Cells with their gains in the order in which they are chosen, as long as one has time left.

    taken: cells that cannot be chosen; per_minute: the most gain for each minute, else the most gain.
    """
    left, closed = minutes, set(taken)
    chosen: list[tuple[int, float]] = []
    cost = np.array([cell.minutes for cell in cells])
    while True:
        can = [index for index in range(len(cells)) if index not in closed and cost[index] <= left]
        if not can:
            return chosen
        gains = knowledge.gains()
        worth = gains / cost if per_minute else gains
        best = max(can, key=lambda index: worth[index])
        chosen.append((best, float(gains[best])))
        knowledge.measure(best)
        closed.add(best)
        left -= float(cost[best])
