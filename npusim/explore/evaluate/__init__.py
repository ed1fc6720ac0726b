"""Evaluation of a proposed chip: whether its claims can hold, what they depend on, and what must be shown."""
