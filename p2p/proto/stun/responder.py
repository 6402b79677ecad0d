"""Answering Binding requests, for clients of RFC 8489, RFC 5780 and RFC 3489."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.defaults import STUN_MAX_PADDING_BYTES
from p2p.errors import DecodeError
from p2p.proto.stun.attributes import (
    CHANGE_REQUEST,
    CHANGED_ADDRESS,
    FINGERPRINT,
    KNOCK,
    KNOCK_TAKEN,
    MAPPED_ADDRESS,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    OTHER_ADDRESS,
    PADDING,
    PASSWORD_ALGORITHM,
    REALM,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    SOFTWARE,
    SOURCE_ADDRESS,
    UNKNOWN_ATTRIBUTES,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    ChangeRequest,
)
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode

_COMPREHENSION_OPTIONAL: Final = 0x8000
_UNCHANGED: Final = ChangeRequest(change_ip=False, change_port=False)
_PORT_CHANGED: Final = ChangeRequest(change_ip=False, change_port=True)
_BOTH_CHANGED: Final = ChangeRequest(change_ip=True, change_port=True)
_ALL_CHANGES: Final = 3

# Credentials are not asked for, and ignored. All other attributes that must be understood, such as
# those of connectivity checks and RESPONSE-ADDRESS, mean something that this server does not do.
_UNDERSTOOD: Final = frozenset(
    attribute.type
    for attribute in (
        CHANGE_REQUEST,
        PADDING,
        RESPONSE_PORT,
        USERNAME,
        USERHASH,
        REALM,
        NONCE,
        PASSWORD_ALGORITHM,
        MESSAGE_INTEGRITY,
        MESSAGE_INTEGRITY_SHA256,
    )
)


class Reply(NamedTuple):
    """An answer, to be sent from one of the server's sockets.

    Attributes:
        data: The datagram.
        destination: Where to send it.
        local: From which of the server's addresses.
    """

    data: bytes
    destination: TransportAddress
    local: TransportAddress


@dataclass(frozen=True, slots=True)
class _Local:
    """What is known of one of the server's addresses.

    Attributes:
        advertised: How clients reach it.
        others: For each change that can be honoured, the local address that answers.
        other_advertised: How clients reach the address with another IP and another port; None without such.
        changed_advertised: What classic clients are told instead; without a second IP, the same IP's other port.
    """

    advertised: TransportAddress
    others: Mapping[ChangeRequest, TransportAddress]
    other_advertised: TransportAddress | None
    changed_advertised: TransportAddress | None


class BindingResponder:
    """Answers Binding requests. Stateless: each request is answered from what it says itself, knocks excepted.

    With two IP addresses and two ports each, all of RFC 5780 works. With one IP address and two ports a change of
    port is honoured, a change of IP is refused, and there is no OTHER-ADDRESS, since it would promise a second IP.
    With one address alone it is a plain STUN server. IPv4 and IPv6 count separately.

    Args:
        addresses: The server's sockets, as ``local`` names them.
        advertised: How clients reach those that are behind a 1:1 NAT, as in most clouds: local to public address.
        software: Sent as SOFTWARE; left out when None, which keeps answers small.
        take_knock: Takes a piece of a knock and its source, and tells whether the knock was passed on.
    """

    def __init__(
        self,
        addresses: Sequence[TransportAddress],
        *,
        advertised: Mapping[TransportAddress, TransportAddress] | None = None,
        software: str | None = None,
        take_knock: Callable[[bytes, TransportAddress], bool] | None = None,
    ) -> None:
        self._take_knock = take_knock
        public = advertised or {}
        self._software: tuple[AttributeValue, ...] = (SOFTWARE(software),) if software else ()
        self._locals = {address: _describe(address, addresses, public) for address in addresses}

    def respond(
        self, data: bytes | memoryview, source: TransportAddress, local: TransportAddress, *, reliable: bool = False
    ) -> Reply | None:
        """Answer a datagram, or a message of a stream.

        Args:
            data: What arrived.
            source: Who sent it.
            local: The address it arrived at. One that the responder was not made with gets plain answers.
            reliable: Whether a byte stream carried it: then nothing can be answered from elsewhere.

        Returns:
            What to send, never longer than about twice the request; None when there is nothing to say.
        """
        try:
            request = decode_untrusted(data)
        except DecodeError:
            return None
        if request.message_class is not MessageClass.REQUEST or request.method != Method.BINDING:
            return None
        here = None if reliable else self._locals.get(local)
        unknown = _not_understood(request, may_change=here is not None)
        if unknown:
            return self._refuse_unknown(request, unknown, source, local)
        change = request.get(CHANGE_REQUEST) or _UNCHANGED
        port = request.get(RESPONSE_PORT)
        padding = request.get(PADDING)
        if port is not None and (padding is not None or port == 0):
            # Both together would send large datagrams to a port that did not ask. Source: RFC 5780 section 7.6.
            return self._reply(request, request.error_response(400, "Bad Request"), source, local)
        origin = local
        if change != _UNCHANGED:
            other = here.others.get(change) if here is not None else None
            if other is None:
                return self._refuse_change(request, source, local)
            origin = other
        attributes = self._addresses(request, source, here, origin)
        if padding is not None:
            attributes.append(PADDING(bytes(min(len(padding), STUN_MAX_PADDING_BYTES))))
        knock = request.get(KNOCK)
        if knock is not None and self._take_knock is not None and not reliable and self._take_knock(knock, source):
            attributes.append(KNOCK_TAKEN(b""))
        destination = source if port is None else source._replace(port=port)
        return self._reply(request, request.success_response(*attributes, *self._software), destination, origin)

    def _addresses(
        self, request: Message, source: TransportAddress, here: _Local | None, origin: TransportAddress
    ) -> list[AttributeValue]:
        """Say what the client wants to know, in the words of its RFC."""
        if request.is_classic:
            attributes: list[AttributeValue] = [MAPPED_ADDRESS(source)]
            if here is not None:
                attributes.append(SOURCE_ADDRESS(self._locals[origin].advertised))
                if here.changed_advertised is not None:
                    attributes.append(CHANGED_ADDRESS(here.changed_advertised))
            return attributes
        attributes = [XOR_MAPPED_ADDRESS(source)]
        if here is not None:
            attributes.append(RESPONSE_ORIGIN(self._locals[origin].advertised))
            if here.other_advertised is not None:
                attributes.append(OTHER_ADDRESS(here.other_advertised))
        return attributes

    def _refuse_change(self, request: Message, source: TransportAddress, local: TransportAddress) -> Reply | None:
        if request.is_classic:
            # Classic clients have no word for "cannot"; widespread ones repeat at once, for ever, upon an error.
            return None
        return self._refuse_unknown(request, (CHANGE_REQUEST.type,), source, local)

    def _refuse_unknown(
        self, request: Message, types: tuple[int, ...], source: TransportAddress, local: TransportAddress
    ) -> Reply:
        reason = "Unknown Attribute"
        if request.is_classic:
            # There every value is a multiple of four bytes. Source: RFC 3489 sections 11.2.9 and 11.2.10.
            reason += " " * (-len(reason) % 4)
            types += types[:1] * (len(types) % 2)
        return self._reply(request, request.error_response(420, reason, UNKNOWN_ATTRIBUTES(types)), source, local)

    @staticmethod
    def _reply(request: Message, response: Message, destination: TransportAddress, local: TransportAddress) -> Reply:
        return Reply(encode(response, fingerprint=request.get(FINGERPRINT) is not None), destination, local)


def _not_understood(request: Message, *, may_change: bool) -> tuple[int, ...]:
    """Return the types that must be understood for a right answer and are not, in order."""
    if not request.attributes and not request.unknown_required:
        return ()
    known = [attribute.type for attribute, _ in request.attributes]
    refused = [kind for kind in known if kind < _COMPREHENSION_OPTIONAL and kind not in _UNDERSTOOD]
    if not may_change and RESPONSE_PORT.type in known:
        refused.append(RESPONSE_PORT.type)
    return (*request.unknown_required, *dict.fromkeys(refused))


def _describe(
    address: TransportAddress,
    addresses: Sequence[TransportAddress],
    advertised: Mapping[TransportAddress, TransportAddress],
) -> _Local:
    """Find the address that answers for each change that a client may ask for."""
    others: dict[ChangeRequest, TransportAddress] = {}
    for candidate in addresses:
        change = ChangeRequest(candidate.host != address.host, candidate.port != address.port)
        if candidate.is_ipv6 == address.is_ipv6 and change != _UNCHANGED:
            others.setdefault(change, candidate)
    # Promising the far corner makes sense only when the tests on the way there can be answered too.
    other = others.get(_BOTH_CHANGED) if len(others) == _ALL_CHANGES else None
    changed = other or others.get(_PORT_CHANGED)
    return _Local(
        advertised.get(address, address),
        others,
        advertised.get(other, other) if other is not None else None,
        advertised.get(changed, changed) if changed is not None else None,
    )
