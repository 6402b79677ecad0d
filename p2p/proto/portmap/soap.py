"""SOAP as UPnP speaks it: an action with arguments goes out, values or an error come back.

Source: UPnP Device Architecture 1.1 section 3; WANIPConnection:1 and :2, section 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from p2p.errors import DecodeError
from p2p.proto.portmap.xml import read_xml_untrusted

INVALID_ARGUMENTS: Final = 402
CONFLICT: Final = 718
ONLY_PERMANENT: Final = 725
OTHER_MECHANISM: Final = 729

_MAX_TEXT_CHARACTERS: Final = 200
_MAX_CODE_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class SoapRequest:
    """An action, ready to be posted.

    Attributes:
        header: The value of the header ``SOAPAction``.
        body: The document.
    """

    header: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SoapFault:
    """The router says no.

    Attributes:
        code: The number of the UPnP error, such as ``CONFLICT``; None when it gives none.
        text: What it says to people.
    """

    code: int | None
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code or ""), self.text) if part) or "no reason given"


def encode_action(service: str, action: str, arguments: Mapping[str, str | int] | None = None) -> SoapRequest:
    """Write an action.

    Args:
        service: The full name of the service.
        action: Such as ``AddPortMapping``.
        arguments: In the order that the service's description has.
    """
    inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in (arguments or {}).items())
    body = (
        '<?xml version="1.0"?>\n'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{action} xmlns:u="{service}">{inner}</u:{action}></s:Body></s:Envelope>\n'
    )
    return SoapRequest(f'"{service}#{action}"', body.encode())


def add_port_mapping(
    service: str, *, action: str, internal_host: str, internal_port: int, external_port: int, lease_s: int, name: str
) -> SoapRequest:
    """Write ``AddPortMapping``, or ``AddAnyPortMapping``, which takes the same.

    Args:
        service: The full name of the service.
        action: Which of the two.
        internal_host: Our IPv4 address.
        internal_port: Our UDP port.
        external_port: The router's.
        lease_s: How long it is to hold, in seconds; 0 until it is taken back.
        name: What the router's owner sees.
    """
    return encode_action(
        service,
        action,
        {
            "NewRemoteHost": "",
            "NewExternalPort": external_port,
            "NewProtocol": "UDP",
            "NewInternalPort": internal_port,
            "NewInternalClient": internal_host,
            "NewEnabled": 1,
            "NewPortMappingDescription": name,
            "NewLeaseDuration": lease_s,
        },
    )


def delete_port_mapping(service: str, *, external_port: int) -> SoapRequest:
    """Write ``DeletePortMapping``."""
    return encode_action(
        service,
        "DeletePortMapping",
        {"NewRemoteHost": "", "NewExternalPort": external_port, "NewProtocol": "UDP"},
    )


def decode_reply_untrusted(data: bytes, action: str) -> dict[str, str] | SoapFault:
    """Read what came back.

    Args:
        data: The document.
        action: What was asked for.

    Returns:
        The values by name, or why not.

    Raises:
        DecodeError: It is neither.
    """
    root = read_xml_untrusted(data)
    fault = root.first("Fault")
    if fault is not None:
        code = fault.first("errorCode")
        text = fault.first("errorDescription") or fault.first("faultstring")
        return SoapFault(
            None if code is None else _number_untrusted(code.text), "" if text is None else _printable(text.text)
        )
    answer = root.first(f"{action}Response")
    if answer is None:
        raise DecodeError(f"no answer to {action}")
    return {child.name: child.text for child in answer.children}


def port_untrusted(text: str) -> int:
    """Read a port.

    Raises:
        DecodeError: It is no number from 1 to 65,535.
    """
    port = _number_untrusted(text)
    if port is None or not 0 < port <= 65535:
        raise DecodeError("no port number")
    return port


def _number_untrusted(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_CODE_DIGITS else None


def _printable(text: str) -> str:
    """Keep a stranger's words from doing anything to a terminal or a log."""
    return "".join(character if character.isprintable() else " " for character in text[:_MAX_TEXT_CHARACTERS]).strip()
