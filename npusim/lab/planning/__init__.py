"""Which cells of a grid to measure, and for how long."""
