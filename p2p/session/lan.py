"""Meeting without a rendezvous: tickets that say where to call, and multicast DNS on one network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import LAN_QUERY_S, LAN_WATCH_S, TICKET_ADDRESSES, TICKET_ADDRESSES_OF_A_KIND
from p2p.errors import ConnectivityError
from p2p.identity import Identity, Ticket
from p2p.proto.direct import derive_key, lan_label
from p2p.proto.ice import Candidate, CandidateType
from p2p.session.node import Node
from p2p.session.options import RelayPolicy
from p2p.session.plausible import is_plausible
from p2p.signalling.direct import DirectSignalling

logger = logging.getLogger(__name__)

_KINDS: Final[tuple[tuple[bool, bool], ...]] = ((False, False), (False, True), (True, True), (True, False))
"""IPv6 or not, global or not; the first two are the shortest, and the likeliest to work on one network."""


def direct_signalling(
    ticket: Ticket, identity: Identity, policy: RelayPolicy, *, instance: str, is_dialer: bool
) -> DirectSignalling | None:
    """Make the direct signalling of one side of a ticket.

    Args:
        ticket: What both sides hold.
        identity: Who we are.
        policy: Which kinds of path the user wants.
        instance: Which of our programs this is.
        is_dialer: Whether we want to reach the exposer.

    Returns:
        None when the peers must not learn each other's addresses.
    """
    if policy is RelayPolicy.ONLY:
        return None
    return DirectSignalling(
        identity,
        derive_key(ticket.secret, ticket.peer_id.public_key, ticket.service),
        instance=instance,
        callee=(ticket.peer_id, ticket.service) if is_dialer else None,
    )


def ticket_addresses(
    candidates: Iterable[Candidate], forwarded: Sequence[TransportAddress] = ()
) -> tuple[TransportAddress, ...]:
    """Choose the addresses that a ticket names: where whoever sends us a packet reaches us.

    Those of a NAT are none of these, unless a port is forwarded: it lets in only whom we have sent to.

    Args:
        candidates: Ours, the preferred ones first.
        forwarded: Addresses of routers that forward a port to our socket.
    """
    hosts = [candidate.address for candidate in candidates if candidate.type is CandidateType.HOST]
    known = list(dict.fromkeys((*forwarded, *hosts)))
    chosen: list[TransportAddress] = []
    for is_ipv6, is_global in _KINDS:
        of_a_kind = [a for a in known if a.is_ipv6 is is_ipv6 and a.ip.is_global is is_global]
        chosen.extend(of_a_kind[:TICKET_ADDRESSES_OF_A_KIND])
    return tuple(chosen[:TICKET_ADDRESSES])


def host_addresses(node: Node) -> tuple[TransportAddress, ...]:
    """Where this host's sockets are reached from its own networks."""
    return tuple(candidate.address for candidate in node.candidates if candidate.type is CandidateType.HOST)


async def announce(node: Node, ticket: Ticket, on_problem: Callable[[ConnectivityError], object]) -> None:
    """Announce a service by multicast DNS until cancelled; again when the addresses change.

    Args:
        node: Whose addresses.
        ticket: Of the service.
        on_problem: Told when it cannot be announced; after the next change of addresses it is tried again.
    """
    # Imported where it is used: most programs never do, and it takes 80 ms.
    from p2p.gather.multicast import LanAnnouncement

    label = _label(ticket)
    while True:
        addresses = host_addresses(node)
        try:
            async with LanAnnouncement(label, addresses):
                await _change(node, addresses)
        except ConnectivityError as error:
            on_problem(error)
            await _change(node, addresses)


async def look_on_lan(node: Node, ticket: Ticket) -> None:
    """Ask for a service by multicast DNS, and call it where it is said to be.

    Args:
        node: The dialer's.
        ticket: Of the service.
    """
    # Imported where it is used: see above.
    from p2p.gather.multicast import look_up

    direct = node.signalling.direct
    assert direct is not None
    hosts = [host for host in node.hosts if not TransportAddress(host, 0).ip.is_loopback]
    direct.asked = asked = f"asked by multicast DNS on {', '.join(hosts) or 'no interface'}"
    try:
        found = await look_up(_label(ticket), hosts, LAN_QUERY_S)
    except ConnectivityError as error:
        logger.info("%s", error)
        direct.asked = error.detail
        return
    direct.asked = f"{asked}: {', '.join(map(str, found)) or 'nobody answered'}"
    call_at(node, found)


def call_at(node: Node, addresses: Iterable[TransportAddress]) -> None:
    """Call the exposer at addresses that somebody named.

    Args:
        node: The dialer's.
        addresses: Those that no peer can be at are skipped.
    """
    if (direct := node.signalling.direct) is not None:
        direct.call(address for address in addresses if address.port and is_plausible(address, node.hosts))


def _label(ticket: Ticket) -> str:
    return lan_label(ticket.secret, ticket.peer_id.public_key, ticket.service)


async def _change(node: Node, addresses: tuple[TransportAddress, ...]) -> None:
    """Wait until the host has other addresses."""
    while host_addresses(node) == addresses:  # noqa: ASYNC110 -- once a second is soon enough for an announcement
        await asyncio.sleep(LAN_WATCH_S)
