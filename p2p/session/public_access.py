"""What people type for tokens, signatures, headers and health checks of public services."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from p2p.errors import ConfigError, ErrorCode
from p2p.parse import parse_duration
from p2p.session.options import HeaderRule, Health, IssuerOptions, OidcOptions, Webhook

CODE_BAD_ACCESS: Final = ErrorCode(
    "P2P-1508",
    "Write --jwt https://issuer.example,aud=NAME and --webhook github:SECRET, stripe:SECRET or hmac:HEADER:SECRET.",
)
CODE_BAD_HEADER: Final = ErrorCode("P2P-1510", "Write --set-header NAME:VALUE or --remove-header NAME.")
CODE_BAD_HEALTH: Final = ErrorCode("P2P-1511", "Write --health /path or --health /path,30s.")
CODE_BAD_AUTHORITIES: Final = ErrorCode("P2P-1512", "Give --client-ca a file with certificates of authorities (PEM).")

CODE_BAD_PATH: Final = ErrorCode("P2P-1514", "Write --path /api: letters, digits, - . _ ~ between slashes.")
CODE_BAD_SIZE: Final = ErrorCode("P2P-1515", "Write a size such as 512k, 10m or 2g.")
CODE_BAD_LOGIN: Final = ErrorCode(
    "P2P-1513",
    "Write --oidc https://issuer.example,client=ID,secret-file=FILE,allow=ann@example.org,allow=@example.org.",
)

_SIZE: Final = re.compile(r"(\d{1,12})([kmg]?)(?:i?b)?")
_UNIT_BYTES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_PATH_MAX_CHARACTERS: Final = 255
_AUTHORITIES_MAX_BYTES: Final = 16_384
"""What a gateway takes: a dozen certificates."""
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def parse_issuer(text: str) -> IssuerOptions:
    """Read an issuer: ``https://auth.example/realms/home,aud=blog`` or ``keys.json,iss=NAME,aud=NAME``.

    Args:
        text: As the user gave it.

    Raises:
        ConfigError: It is none.
    """
    location, *options = text.strip().split(",")
    audience: list[str] = []
    issuers: list[str] = []
    for option in options:
        name, _, value = option.partition("=")
        if name not in ("aud", "iss") or not value:
            raise ConfigError(f"--jwt: {option!r} is neither aud=NAME nor iss=NAME", code=CODE_BAD_ACCESS)
        (audience if name == "aud" else issuers).append(value)
    if not location or len(issuers) > 1:
        raise ConfigError(f"--jwt: {text!r} names no issuer, or two", code=CODE_BAD_ACCESS)
    return IssuerOptions(location=location, issuer="".join(issuers), audience=tuple(audience))


def parse_webhook(text: str) -> Webhook:
    """Read a sender of webhooks: ``github:SECRET``, ``stripe:SECRET`` or ``hmac:HEADER:SECRET``.

    Args:
        text: As the user gave it; it has a secret, which no message repeats.

    Raises:
        ConfigError: It is none.
    """
    kind, _, secret = text.partition(":")
    header = ""
    if kind == "hmac":
        header, _, secret = secret.partition(":")
        if _HEADER.fullmatch(header) is None:
            raise ConfigError("--webhook hmac: the name of a header is missing", code=CODE_BAD_ACCESS)
    try:
        # The gateway refuses what the message's own rules do not allow, so they are applied here.
        return msgspec.convert({"kind": kind, "secret": secret, "header": header}, Webhook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--webhook: {kind!r} is no kind, or its secret is missing", code=CODE_BAD_ACCESS) from error


def parse_header_rules(sets: Sequence[str], removes: Sequence[str]) -> tuple[HeaderRule, ...]:
    """Read changes to headers; what is removed goes first.

    Args:
        sets: Each ``NAME:VALUE``; the value may be a secret, which no message repeats.
        removes: Names.

    Raises:
        ConfigError: One is no header.
    """
    rules: list[dict[str, str | None]] = [{"name": name.strip(), "value": None} for name in removes]
    for text in sets:
        name, colon, value = text.partition(":")
        if not colon:
            raise ConfigError("--set-header: there is no colon", code=CODE_BAD_HEADER)
        rules.append({"name": name.strip(), "value": value.strip()})
    try:
        return msgspec.convert(rules, tuple[HeaderRule, ...])
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a header: {error}", code=CODE_BAD_HEADER) from error


def parse_health(text: str) -> Health:
    """Read how a service is asked whether it is well: ``/healthz`` or ``/healthz,30s``.

    Args:
        text: As the user gave it.

    Raises:
        ConfigError: It is no path, or no time from a second to an hour.
    """
    path, _, interval = text.strip().partition(",")
    fields: dict[str, object] = {"path": path} | ({"interval_s": parse_duration(interval)} if interval else {})
    try:
        return msgspec.convert(fields, Health)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--health {text}: {error}", code=CODE_BAD_HEALTH) from error


def read_authorities(path: Path) -> str:
    """Read the certificates of those who sign visitors' certificates.

    Args:
        path: A PEM file; what is no certificate in it, such as text for people, is left out.

    Raises:
        ConfigError: It cannot be read, or has none, or too many.
    """
    # A long import, for the few who need it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(path.expanduser().read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", code=CODE_BAD_AUTHORITIES) from error
    except ValueError as error:
        raise ConfigError(f"{path} has no certificates", code=CODE_BAD_AUTHORITIES) from error
    text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
    if len(text) > _AUTHORITIES_MAX_BYTES:
        raise ConfigError(f"{path}: more certificates than a gateway takes", code=CODE_BAD_AUTHORITIES)
    return text.decode()


def parse_oidc(text: str) -> OidcOptions:
    """Read where visitors log in: ``https://issuer.example,client=ID,secret-file=FILE,allow=@example.org``.

    Args:
        text: As the user gave it.

    Raises:
        ConfigError: It is not written like that, or the file cannot be read.
    """
    issuer, *options = text.strip().split(",")
    given: dict[str, list[str]] = {"client": [], "secret-file": [], "allow": []}
    for option in options:
        name, _, value = option.partition("=")
        if name not in given or not value:
            raise ConfigError(f"--oidc: {option!r} is not one of {', '.join(given)} with a value", code=CODE_BAD_LOGIN)
        given[name].append(value)
    if not issuer or len(given["client"]) != 1 or len(given["secret-file"]) > 1:
        raise ConfigError("--oidc names one issuer, one client, and a file if there is a secret", code=CODE_BAD_LOGIN)
    wrong = [entry for entry in given["allow"] if "@" not in entry and not entry.startswith("sub:")]
    if wrong:
        raise ConfigError(f"--oidc: allow={wrong[0]} is no mail address, @domain or sub:ID", code=CODE_BAD_LOGIN)
    try:
        secrets = [Path(path).expanduser().read_text().strip() for path in given["secret-file"]]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--oidc: {given['secret-file'][0]} cannot be read", code=CODE_BAD_LOGIN) from error
    allow = tuple(entry if entry.startswith("sub:") else entry.lower() for entry in given["allow"])
    return OidcOptions(issuer=issuer, client=given["client"][0], secret="".join(secrets), allow=allow)


def parse_path(text: str) -> str:
    """Read a path prefix; a slash at its end says nothing.

    Args:
        text: As the user gave it.

    Raises:
        ConfigError: It is none.
    """
    path = text.strip().rstrip("/")
    segments = path.split("/")
    if not _PATH.fullmatch(path) or len(path) > _PATH_MAX_CHARACTERS or {".", ".."} & set(segments):
        raise ConfigError(f"--path {text}: not a path below which a service could be", code=CODE_BAD_PATH)
    return path


def parse_size(text: str) -> int:
    """Read a size: ``65536``, ``512k``, ``10m``, ``2g``, in powers of 1024.

    Args:
        text: As the user gave it.

    Raises:
        ConfigError: It is none.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise ConfigError(f"{text!r} is not a size", code=CODE_BAD_SIZE)
    return int(found[1]) * _UNIT_BYTES[found[2]]
