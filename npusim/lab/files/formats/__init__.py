"""Formats of files that labs hand over, a module a format: each holds FORMATS, and nothing else lists it."""
