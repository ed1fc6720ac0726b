"""Several servers: who sends which requests to which of them, and what they did together."""
