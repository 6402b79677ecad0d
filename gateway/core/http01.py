"""The HTTP-01 challenge: proves to a certificate authority that a host's visitors come to this gateway."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "/.well-known/acme-challenge/"
"""RFC 8555 section 8.3."""


class Challenges:
    """What is to be answered to the authority's question while an order is under way.

    Only tokens that are waited for are answered, and on their own host only: a service may serve this path itself.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], str] = {}

    def expect(self, host: str, token: str, answer: str) -> None:
        """Answer a challenge from now on.

        Args:
            host: The name that is to be proven, in lower case.
            token: The authority's.
            answer: The key authorisation (RFC 8555 section 8.1).
        """
        self._answers[host, PREFIX + token] = answer

    def forget(self, host: str) -> None:
        """Answer no challenge of this host any longer."""
        self._answers = {key: answer for key, answer in self._answers.items() if key[0] != host}

    def answer(self, host: str, target: str) -> str | None:
        """What a request is answered with.

        Args:
            host: In lower case.
            target: The path as it was written.

        Returns:
            The key authorisation, or None when the request is no challenge of ours.
        """
        return self._answers.get((host, target)) if self._answers else None
