"""The launch of an operator: the time between it and what it depends on."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.mapping.optable import NORM


@kernel
def launch_time(row, runtime, path):
    """Seconds until an operator starts after what it depends on, by the step's path.

    A norm that the compiler makes part of the program before it (`fused_norms`) has no start of its own: its passes
    over the elements, and its programs one after the other, stay.
    """
    launch = runtime.paths_operator_launch[path]
    if row.op == NORM and runtime.compiler_fused_norms > 0.0:
        launch *= 1.0 - runtime.compiler_fused_norms
    return launch
