"""Numerical fidelity of number formats on drawn weights and activations, and what was published of like models."""
