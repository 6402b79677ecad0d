"""An authority of certificates without ACME: it asks its challenge by HTTP, as a real one does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.acme.issuer import NameRefusedError, ServerFailedError
from gateway.core.http01 import PREFIX, Challenges
from tests.support.authority import Authority

TOKEN, ANSWER = "evaGxfADs6pSRb2LAv9IZ", "evaGxfADs6pSRb2LAv9IZ.nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ"


class FakeIssuer:
    """Attributes: ``asked`` has each order; names in ``refused`` get nothing, and nobody does while ``is_away``."""

    def __init__(self, folder: Path, look: Callable[[str, str], Awaitable[str]] | None = None) -> None:
        self.folder = folder
        self.look = look
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.is_away = False

    def authority(self, name: str) -> Path:
        """Who signed the last certificate of a name."""
        return self.folder / name / "ca.pem"

    async def issue(self, name: str, challenges: Challenges) -> bytes:
        self.asked.append(name)
        if self.is_away:
            raise ServerFailedError("nobody there")
        challenges.expect(name, TOKEN, ANSWER)
        try:
            answer = ANSWER if self.look is None else await self.look(name, PREFIX + TOKEN)
        finally:
            challenges.forget(name)
        if name in self.refused or answer != ANSWER:
            raise NameRefusedError(f"wrong answer: {answer}")
        (self.folder / name).mkdir(exist_ok=True, parents=True)
        made = Authority(self.folder / name, name)
        return made.key.read_bytes() + made.certificate.read_bytes()
