"""For how long a server's front-end process is busy with each request before it is in the queue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Intake:
    """request_s: of each request; token_s: of each token of its prompt besides."""

    request_s: float = 0.0
    token_s: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether requests take any time."""
        return self.request_s > 0.0 or self.token_s > 0.0

    def seconds(self, tokens: np.ndarray | int) -> np.ndarray:
        """Of each request, float64, as many. tokens: of their prompts, or of one."""
        return self.request_s + self.token_s * np.asarray(tokens, float)


NO_INTAKE = Intake()
"""Of a front end that is never busy."""


def intake_of(numbers: np.void) -> Intake:
    """The intake of a runtime under its record."""
    times = (float(numbers[name]) for name in ("host_intake_time", "host_intake_token_time"))
    return Intake(*(0.0 if np.isnan(each) else each for each in times))
