"""The keys of those whose tokens let visitors in: read on the publisher's side, which the gateway hears them from.

So the gateway asks for no address that a publisher names, and an issuer may be behind the publisher's NAT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from p2p.defaults import ISSUER_KEYS_EVERY_S, ISSUER_KEYS_WITHIN_S
from p2p.errors import ConfigError, DecodeError, ErrorCode, P2PError
from p2p.proto.publication import Issuer, Jwk, decode_key_set_untrusted
from p2p.session.options import IssuerOptions

CODE_NO_KEYS: Final = ErrorCode(
    "P2P-1509", "Give the URL of an issuer or of its key set (https), or a file with a key set.", retryable=True
)

_DOCUMENT_MAX_BYTES: Final = 1 << 20
_DISCOVERY: Final = "/.well-known/openid-configuration"


class IssuerKeysError(ConfigError):
    """The keys of an issuer are not to be had."""

    default_code = CODE_NO_KEYS


class Discovery(Struct):
    """What an issuer says of itself. Source: OpenID Connect Discovery 1.0 section 3."""

    issuer: str
    jwks_uri: str


DiscoveryT = TypeVar("DiscoveryT", bound=Discovery)


class Issuers:
    """Issuers and their keys.

    Args:
        options: Where each is.
    """

    def __init__(self, options: Sequence[IssuerOptions]) -> None:
        self._options = tuple(options)
        self._known: tuple[Issuer, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self._options)

    async def read(self) -> tuple[Issuer, ...]:
        """Read the keys of all; those that were read before do if one cannot be reached.

        Raises:
            IssuerKeysError: One cannot be reached, and never was.
        """
        try:
            self._known = await self._read_all()
        except IssuerKeysError:
            if self._known is None:
                raise
        return self._known

    async def changes(
        self, wanted: asyncio.Event, tell: Callable[[P2PError], None]
    ) -> AsyncIterator[tuple[Issuer, ...]]:
        """Read the keys again and again, and give those that have changed.

        Args:
            wanted: Set when somebody misses a key; then they are read at once.
            tell: Told why they could not be read.
        """
        while self._options:
            try:
                async with asyncio.timeout(ISSUER_KEYS_EVERY_S):
                    await wanted.wait()
            except TimeoutError:
                pass
            wanted.clear()
            try:
                issuers = await self._read_all()
            except IssuerKeysError as error:
                tell(error)
                continue
            if issuers != self._known:
                self._known = issuers
                yield issuers

    async def _read_all(self) -> tuple[Issuer, ...]:
        return tuple([await _read(options) for options in self._options])


async def _read(options: IssuerOptions) -> Issuer:
    issuer, location = options.issuer, options.location
    if location.startswith(("https://", "http://")):
        try:
            # A key set has a URL of any form, so what is there tells which of both it is.
            keys = decode_key_set_untrusted(await fetch(location) or b"")
        except DecodeError:
            found = await discover(location, Discovery)
            issuer, keys = found.issuer, await fetch_keys(found.jwks_uri)
    else:
        keys = _keys(location, await asyncio.to_thread(_read_file, location))
    return Issuer(keys=keys, issuer=issuer, audience=options.audience)


def _read_file(location: str) -> bytes:
    try:
        return Path(location).expanduser().read_bytes()
    except OSError as error:
        raise IssuerKeysError(f"{location}: {error.strerror}") from error


async def discover(issuer: str, kind: type[DiscoveryT]) -> DiscoveryT:
    """Ask an issuer about itself.

    Args:
        issuer: Its URL.
        kind: What there is to know.

    Raises:
        IssuerKeysError: It cannot be reached, or is none.

    Source: OpenID Connect Discovery 1.0 section 4.
    """
    issuer = issuer.rstrip("/")
    data = await fetch(issuer + _DISCOVERY)
    try:
        found = msgspec.json.decode(data or b"", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IssuerKeysError(f"{issuer} is neither a key set nor an issuer of OpenID Connect") from error
    if found.issuer.rstrip("/") != issuer:
        raise IssuerKeysError(f"{issuer} calls itself {found.issuer}")
    return found


async def fetch_keys(url: str) -> tuple[Jwk, ...]:
    """Get a key set.

    Raises:
        IssuerKeysError: It cannot be had, or is none.
    """
    return _keys(url, await fetch(url) or b"")


def _keys(location: str, data: bytes) -> tuple[Jwk, ...]:
    try:
        return decode_key_set_untrusted(data)
    except DecodeError as error:
        raise IssuerKeysError(f"{location}: {error.detail}") from error


async def fetch(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> bytes | None:
    """Get a document of an issuer.

    Args:
        url: Where it is.
        form: To be sent to there first.
        headers: Beside the usual ones.

    Returns:
        The document; None where there is none.

    Raises:
        IssuerKeysError: The server cannot be reached, or whoever is in between could change what it says.
    """
    # A long import, for the few who need it.
    import aiohttp

    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise IssuerKeysError(f"{url}: over the network keys are believed with https only")
    timeout = aiohttp.ClientTimeout(total=ISSUER_KEYS_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(trust_env=True, timeout=timeout) as session,
            session.request(
                "GET" if form is None else "POST", url, data=form, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status != 200:
                return None
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > _DOCUMENT_MAX_BYTES:
                    raise IssuerKeysError(f"{url}: too long for a key set")
            return bytes(data)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise IssuerKeysError(f"{url}: {error or 'no answer in time'}") from error
