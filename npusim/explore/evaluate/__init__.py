"""Evaluation of a proposed chip: whether its claims can hold, on what they hang, and what must be shown."""
