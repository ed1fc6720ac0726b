"""What a run's figures depend on beside chip, model and question: each condition is told, or a set of values."""
