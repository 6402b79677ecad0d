"""What routers tell everybody on the LAN, unasked: that they have started, or have another outside address.

Anybody on the LAN can pretend to be the router. So nothing of it is taken over; it only makes us ask.

Source: RFC 6886 section 3.2.1, RFC 6887 section 14.1.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2p.errors import DecodeError
from p2p.proto.portmap import natpmp, pcp

_VERSIONS: Final = (natpmp.NAT_PMP_VERSION, pcp.PCP_VERSION)
_ANSWER: Final = 0x80
"""In NAT-PMP an answer about the outside address, in PCP one to ANNOUNCE: the number is the same."""
_MIN_BYTES: Final = 8


class Announcement(NamedTuple):
    """What is said.

    Attributes:
        is_pcp: Whether it is said in PCP; else in NAT-PMP.
        epoch_s: The router's clock.
        host: The outside address; None in PCP.
    """

    is_pcp: bool
    epoch_s: int
    host: str | None


def is_announcement(data: bytes) -> bool:
    """Tell whether a datagram has the form of an announcement: of an answer that nobody asked for.

    Args:
        data: The datagram.
    """
    return len(data) >= _MIN_BYTES and data[0] in _VERSIONS and data[1] == _ANSWER


def decode_announcement_untrusted(data: bytes) -> Announcement:
    """Read an announcement.

    Args:
        data: The datagram.

    Raises:
        DecodeError: It is none.
    """
    if not is_announcement(data):
        raise DecodeError("no announcement of a router")
    if data[0] == pcp.PCP_VERSION:
        return Announcement(is_pcp=True, epoch_s=pcp.decode_response_untrusted(data).epoch_s, host=None)
    response = natpmp.decode_response_untrusted(data)
    if not isinstance(response, natpmp.NatPmpAddress):
        raise DecodeError("a NAT-PMP router that announces no address")
    return Announcement(is_pcp=False, epoch_s=response.epoch_s, host=response.host)
