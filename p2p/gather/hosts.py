"""The sockets of this host, one for each address family, and the addresses they are reached at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError
from p2p.gather.candidates import CandidateBook, CandidateChange
from p2p.path.endpoint import Endpoint

logger = logging.getLogger(__name__)

ANY_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104 -- a peer does not know which of its networks leads to the other


class HostSockets:
    """Opens a socket when an address family comes, and keeps it: bound to no address, it outlives all of them.

    Args:
        endpoint: Gets the sockets.
        book: Is told which addresses they have.
        are_candidates: Whether peers may know the addresses; if not, the sockets serve to reach relays only.
    """

    def __init__(self, endpoint: Endpoint, book: CandidateBook, *, are_candidates: bool) -> None:
        self._endpoint = endpoint
        self._book = book
        self._are_candidates = are_candidates

    def update(self, hosts: Sequence[str]) -> CandidateChange:
        """Take the addresses that this host has now.

        Args:
            hosts: IP addresses, the preferred ones first.

        Returns:
            What is new and what is gone.

        Raises:
            ConnectivityError: There is no socket, and none can be opened.
        """
        problem = self._open_missing(hosts)
        if not self._endpoint.sockets:
            raise problem or ConnectivityError("this host has no network address")
        if not self._are_candidates:
            return CandidateChange()
        changes = [self._book.set_hosts(base, hosts) for base in self._endpoint.sockets]
        return CandidateChange(
            tuple(candidate for change in changes for candidate in change.added),
            tuple(candidate for change in changes for candidate in change.removed),
        )

    def _open_missing(self, hosts: Sequence[str]) -> ConnectivityError | None:
        problem = None
        open_families = {base.local_address.is_ipv6 for base in self._endpoint.sockets}
        for any_address in ANY_ADDRESSES:
            is_ipv6 = ":" in any_address
            if is_ipv6 in open_families or not any((":" in host) is is_ipv6 for host in hosts):
                continue
            try:
                self._endpoint.open_socket(TransportAddress(any_address, 0))
            except ConnectivityError as error:
                logger.info("%s", error)
                problem = problem or error
        return problem
