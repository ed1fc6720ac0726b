"""Design-space sweeps: many variants of one architecture under many workloads, as arrays."""
