"""Values of flags that several commands have."""

from __future__ import annotations


def comma_list(text: str) -> tuple[str, ...]:
    """Read names with commas in between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
