"""npusim predicts how an LLM-inference chip will score on K-Perf, with its assumptions named."""

__version__ = "0.1.0"
