"""Formats of traces, a module a format: each holds FORMATS, and nothing else lists it."""
