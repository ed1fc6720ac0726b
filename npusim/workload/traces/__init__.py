"""Recorded traffic: when requests came, how long they were, what their prompts shared. A module a format."""
