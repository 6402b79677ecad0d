"""The one exception of the lab: what went wrong, and what to do about it."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked.

    Args:
        detail: What happened, with the values that matter.
        hint: One sentence in the imperative that tells the user what to do about it; may be empty.
    """

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}\n  {self.hint}" if self.hint else self.detail
