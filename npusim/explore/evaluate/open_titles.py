"""Headings of what a claim may leave open."""

from __future__ import annotations

OPEN_TITLES = {
    "isl": "Prompt tokens",
    "osl": "Answer tokens",
    "users": "Users",
    "precision": "Number format",
    "kv_precision": "KV format",
    "cards": "Cards",
    "prompts": "Prompts",
    "software": "Software",
}
"""By condition."""
