"""The launch of an operator: the time between it and what it depends on."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.mapping.optable import ATTENTION, COLLECTIVE, EXPERT_UP, NORM, OUT


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


@kernel
def fixed_time(rows, count, runtime, path):
    """Seconds that a step takes beside its operators: its own start, and that of each layer's graph."""
    each, layers = runtime.paths_layer_launch[path], 0.0
    for index in range(count):
        if rows[index].op == OUT:
            layers += rows[index].repeat
    return runtime.paths_step_launch[path] + (layers * each if each > 0.0 else 0.0)


@kernel
def launches_time(rows, count, runtime, path):
    """Host seconds to launch every operator of a step; where its tokens are few enough for captured graphs, which are
    cut at attention, to launch that and the next piece of each layer."""
    tokens = 0.0
    for index in range(count):
        if rows[index].op == NORM:
            tokens = max(tokens, rows[index].m)
    launch, piece = runtime.paths_host_launch[path], runtime.paths_piece_launch[path]
    expert, collective = runtime.paths_expert_host_launch[path], runtime.paths_collective_host_launch[path]
    seconds = 0.0
    if tokens > runtime.paths_graph_tokens[path] and launch > 0.0:
        for index in range(count):
            row = rows[index]
            own = expert if row.op == EXPERT_UP else (collective if row.kind == COLLECTIVE else launch)
            seconds += row.repeat * (own if own > 0.0 else launch)
    elif tokens <= runtime.paths_graph_tokens[path] and piece > 0.0:
        for index in range(count):
            seconds += rows[index].repeat * piece if rows[index].kind == ATTENTION else 0.0
    return seconds
