"""A port at one router, in PCP or NAT-PMP, whichever it speaks: asking, renewing, noticing that it forgot, giving back.

Source: RFC 6887 sections 8, 11, 14 and appendix A; RFC 6886 section 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.machine import Datagram
from p2p.proto.portmap import natpmp, pcp
from p2p.proto.portmap.announcement import decode_announcement_untrusted
from p2p.proto.portmap.epoch import NatPmpEpoch, PcpEpoch
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.events import (
    PortControlEvent,
    PortControlFailed,
    PortMapped,
    PortMappingLost,
    PortUnmapped,
)
from p2p.proto.portmap.exchange import Purpose, probe, question, renewal
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping
from p2p.proto.stun.transaction import Step, Transaction


class PortControlClient:
    """Machine for one UDP port of ours at one router.

    ``start`` asks in PCP for the port and in NAT-PMP for the outside address, at once; a router that speaks both is
    spoken to in PCP.

    Driven by: whoever owns a socket that is connected to the router.
    States: idle; asking; mapped; stopped.
    Timers: retransmission, renewal from half the lifetime on, the mapping's end.
    Events: ``PortMapped``, ``PortMappingLost``, ``PortControlFailed``, ``PortUnmapped``.

    Args:
        server: The router's address and port; only answers from there are heard.
        internal: The address that requests leave from, and the port that is to be reached.
        nonce: 12 unpredictable bytes. A router that holds a mapping of this port grants it anew to who knows them only.
        random_bytes: Gives as many unpredictable bytes as asked for.
        lifetime_s: How long to ask for, in seconds.
    """

    def __init__(
        self,
        server: TransportAddress,
        internal: TransportAddress,
        *,
        nonce: bytes,
        random_bytes: Callable[[int], bytes],
        lifetime_s: int = defaults.PORTMAP_LIFETIME_S,
    ) -> None:
        self.server = server
        self.internal = internal
        self.mapping: PortMapping | None = None
        self.heard: dict[MappingProtocol, str | None] = {}
        """In which protocols the router answered, and the outside address it told in each, where it did."""
        self._random_bytes = random_bytes
        self._lifetime_s = lifetime_s
        self._nonce = nonce
        self._pcp_epoch, self._nat_pmp_epoch = PcpEpoch(), NatPmpEpoch()
        self._protocol: MappingProtocol | None = None
        self._suggested: TransportAddress | None = None
        self._exchanges: dict[Purpose, Transaction] = {}
        self._refusal: PortMappingError | None = None
        self._nat_pmp_at: float | None = None
        self._renew_at: float | None = None
        self._ends_at: float | None = None
        self._doubted_at = float("-inf")
        self._is_doubted = self._is_hearsay = False
        self._is_stopped = self._has_failed = False
        self._outgoing: list[Datagram] = []
        self._events: deque[PortControlEvent] = deque()

    # --- commands ------------------------------------------------------------------------------------------
    def start(self, now: float, suggested: TransportAddress | None = None) -> None:
        """Ask for the port.

        Args:
            now: The monotonic instant in seconds.
            suggested: The outside address that we would like, such as the one we had.
        """
        self._suggested = suggested
        self._is_stopped = self._has_failed = False
        self._refusal = None
        self._protocol = None
        self._begin(Purpose.MAP, probe(self._pcp_map(self._lifetime_s), now), now)
        if not self.internal.is_ipv6:
            self._begin(Purpose.ADDRESS, probe(natpmp.encode_address_request(), now), now)

    def check(self, now: float) -> None:
        """Ask for the router's clock, which tells whether it still knows us: something makes us doubt it."""
        if self.mapping is None or Purpose.ADDRESS in self._exchanges:
            return
        is_pcp = self._protocol is MappingProtocol.PCP
        data = pcp.encode_announce(self.internal.host) if is_pcp else natpmp.encode_address_request()
        self._begin(Purpose.ADDRESS, question(data, now), now)

    def stop(self, now: float) -> None:
        """Give the port back, also one that was asked for and not granted yet; ``PortUnmapped`` follows."""
        is_asked = self.mapping is not None or Purpose.MAP in self._exchanges
        self._is_stopped = True
        self._exchanges.clear()
        self.mapping = self._renew_at = self._ends_at = self._nat_pmp_at = None
        if not is_asked:
            self._events.append(PortUnmapped())
        elif self._protocol is MappingProtocol.NAT_PMP:
            data = natpmp.encode_map_request(internal_port=self.internal.port, suggested_port=0, lifetime_s=0)
            self._begin(Purpose.UNMAP, probe(data, now), now)
        else:
            self._suggested = None
            self._begin(Purpose.UNMAP, probe(self._pcp_map(0), now), now)

    def refused(self, now: float) -> None:
        """Learn that nobody listens at the router's port: an ICMP error came back."""
        if self.mapping is None and not self._is_stopped:
            self._exchanges.clear()
            self._fail(PortMappingError(f"the router {self.server.host} speaks neither PCP nor NAT-PMP"))

    # --- the verbs of a machine ----------------------------------------------------------------------------
    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take an answer.

        Args:
            data: The datagram.
            source: Who sent it.
            now: The monotonic instant in seconds.

        Returns:
            Whether it was one to us.
        """
        return source == self.server and self._receive(data, now)

    def receive_announcement(self, data: bytes, host: str, now: float) -> bool:
        """Take what a router tells everybody on the LAN: its clock, and its outside address.

        Anybody there can pretend to be the router, and gains nothing but that we ask it again.

        Args:
            data: The datagram.
            host: Who sent it.
            now: The monotonic instant in seconds.

        Returns:
            Whether it was understood.
        """
        if host != self.server.host:
            return False
        try:
            told = decode_announcement_untrusted(data)
        except DecodeError:
            return False
        epoch = self._pcp_epoch if told.is_pcp else self._nat_pmp_epoch
        before = self.heard.get(MappingProtocol.NAT_PMP)
        if not epoch.is_valid(told.epoch_s, now) or (told.host is not None and before not in (None, told.host)):
            self._forgotten(now, is_hearsay=True)
        return True

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Take what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        times = [exchange.next_at for exchange in self._exchanges.values()]
        times += [at for at in (self._nat_pmp_at, self._renew_at, self._ends_at) if at is not None]
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """Send again, renew, or give up."""
        if self._ends_at is not None and now >= self._ends_at:
            self._lose(PortMappingError(f"the router {self.server.host} has not renewed the mapping"))
        if self._nat_pmp_at is not None and now >= self._nat_pmp_at:
            self._nat_pmp_at = None
            self._speak_nat_pmp(now)
        if self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            if self._is_hearsay and self._protocol is MappingProtocol.NAT_PMP:
                self._begin(Purpose.ADDRESS, question(natpmp.encode_address_request(), now), now)
            elif self._is_doubted:
                self._ask(now)
            else:
                self._ask(now, renewal)
        for purpose, exchange in list(self._exchanges.items()):
            step = exchange.step(now)
            if step is Step.SEND:
                self._outgoing.append(Datagram(exchange.request, self.server))
            elif step is Step.GIVE_UP:
                del self._exchanges[purpose]
                self._unanswered(purpose)

    def next_event(self) -> PortControlEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # --- what comes in -------------------------------------------------------------------------------------
    def _receive(self, data: bytes, now: float) -> bool:
        try:
            if data[:1] == bytes((pcp.PCP_VERSION,)):
                return self._pcp_received(pcp.decode_response_untrusted(data), now)
            return self._nat_pmp_received(natpmp.decode_response_untrusted(data), now)
        except DecodeError:
            return False

    def _pcp_received(self, response: pcp.PcpResponse, now: float) -> bool:
        granted = response.mapping
        if response.opcode == pcp.PcpOpcode.MAP and granted is not None:
            if granted.nonce != self._nonce or granted.internal_port != self.internal.port:
                return False
        elif response.opcode == pcp.PcpOpcode.MAP and Purpose.MAP not in self._exchanges:
            # An error without the nonce: only while we ask.
            return False
        self.heard.setdefault(MappingProtocol.PCP, None)
        is_known = self._pcp_epoch.is_valid(response.epoch_s, now)
        if response.opcode != pcp.PcpOpcode.MAP:
            self._exchanges.pop(Purpose.ADDRESS, None)
            if not is_known and self._protocol is MappingProtocol.PCP:
                self._forgotten(now)
            return True
        if self._is_stopped:
            self._unmapped()
        elif self._protocol is MappingProtocol.NAT_PMP:
            return True
        elif response.result != pcp.PcpResult.SUCCESS:
            name = pcp.result_name(response.result)
            text = f"the router {self.server.host} refuses in PCP: {name}"
            self._refused(PortMappingError(text, retry_after_s=response.lifetime_s), now)
        elif granted is not None:
            self._exchanges.pop(Purpose.ADDRESS, None)
            self._granted(MappingProtocol.PCP, granted.external, response.lifetime_s, now)
        return True

    def _nat_pmp_received(
        self, response: natpmp.NatPmpAddress | natpmp.NatPmpMapped | natpmp.NatPmpRefused, now: float
    ) -> bool:
        if isinstance(response, natpmp.NatPmpRefused):
            return self._nat_pmp_refused(response, now)
        if isinstance(response, natpmp.NatPmpMapped) and response.internal_port != self.internal.port:
            return False
        is_known = self._nat_pmp_epoch.is_valid(response.epoch_s, now)
        if isinstance(response, natpmp.NatPmpAddress):
            before = self.heard.get(MappingProtocol.NAT_PMP)
            self.heard[MappingProtocol.NAT_PMP] = response.host
            self._exchanges.pop(Purpose.ADDRESS, None)
            if self._protocol is MappingProtocol.NAT_PMP:
                if self._is_hearsay:
                    self._is_hearsay = False
                    self._renew_at = now
                elif not is_known or before != response.host:
                    self._forgotten(now)
            elif self._protocol is None and not self._is_stopped:
                is_pcp_open = Purpose.MAP in self._exchanges and self._refusal is None
                self._nat_pmp_at = now + (defaults.PORTMAP_NAT_PMP_GRACE_S if is_pcp_open else 0.0)
            return True
        if self._is_stopped:
            self._unmapped()
        elif self._protocol is MappingProtocol.NAT_PMP:
            host = self.heard.get(MappingProtocol.NAT_PMP)
            if host is not None:
                external = TransportAddress(host, response.external_port)
                self._granted(MappingProtocol.NAT_PMP, external, response.lifetime_s, now)
        return True

    def _nat_pmp_refused(self, response: natpmp.NatPmpRefused, now: float) -> bool:
        self.heard.setdefault(MappingProtocol.NAT_PMP, None)
        name = natpmp.result_name(response.result)
        error = PortMappingError(f"the router {self.server.host} refuses in NAT-PMP: {name}")
        if response.result == natpmp.NatPmpResult.UNSUPPORTED_VERSION and self._protocol is not MappingProtocol.NAT_PMP:
            # It does not speak PCP. Such answers repeat what was asked for, so that it seems to be about a port.
            if self._protocol is None and Purpose.MAP in self._exchanges:
                del self._exchanges[Purpose.MAP]
                if self._nat_pmp_at is not None:
                    self._nat_pmp_at = now
            return True
        if self._is_stopped:
            self._unmapped()
        elif self._protocol is not MappingProtocol.PCP:
            self._exchanges.pop(Purpose.ADDRESS, None)
            if self._protocol is MappingProtocol.NAT_PMP or not self._exchanges:
                self._refused(error, now)
            else:
                self._refusal = error
        return True

    # --- what follows from it ------------------------------------------------------------------------------
    def _granted(self, protocol: MappingProtocol, external: TransportAddress, lifetime_s: int, now: float) -> None:
        self._exchanges.pop(Purpose.MAP, None)
        self._nat_pmp_at = None
        self._protocol = protocol
        self._is_doubted = self._is_hearsay = False
        self.heard[protocol] = external.host
        if not lifetime_s:
            self._refused(PortMappingError(f"the router {self.server.host} grants nothing", code=CODE_UNUSABLE), now)
            return
        granted_s = min(lifetime_s, defaults.PORTMAP_LIFETIME_MAX_S)
        before, self.mapping = self.mapping, PortMapping(protocol, self.internal, external, granted_s)
        self._suggested = external
        # Somewhere between a half and five eighths. Source: RFC 6887 section 11.2.1.
        self._renew_at = now + max(defaults.PORTMAP_RENEW_MIN_S, granted_s * (0.5 + self._random() / 8))
        self._ends_at = now + max(granted_s, 2 * defaults.PORTMAP_RENEW_MIN_S)
        if before is None or before.external != external or before.protocol is not protocol:
            self._events.append(PortMapped(self.mapping))

    def _refused(self, error: PortMappingError, now: float) -> None:
        self._exchanges.pop(Purpose.MAP, None)
        self._refusal = error
        if self.mapping is not None:
            self._lose(error)
        elif self._protocol is None and (self._nat_pmp_at is not None or Purpose.ADDRESS in self._exchanges):
            # Refused in PCP; perhaps not in NAT-PMP.
            self._nat_pmp_at = None if self._nat_pmp_at is None else now
        else:
            self._fail(error)

    def _forgotten(self, now: float, *, is_hearsay: bool = False) -> None:
        """The router has restarted, or has another outside address: ask again at once, but not time after time."""
        if self.mapping is None or Purpose.MAP in self._exchanges or self._is_doubted:
            return
        self._is_doubted, self._is_hearsay = True, is_hearsay
        jitter_s = self._random() * defaults.PORTMAP_EPOCH_JITTER_S
        self._doubted_at = max(now + jitter_s, self._doubted_at + defaults.PORTMAP_RENEW_MIN_S)
        self._renew_at = self._doubted_at
        # What it does not confirm soon, it does not forward.
        self._ends_at = self._renew_at + defaults.PORTMAP_RENEW_RTO_S

    def _unanswered(self, purpose: Purpose) -> None:
        if purpose is Purpose.UNMAP:
            self._events.append(PortUnmapped())
        elif self.mapping is None and not self._exchanges and self._nat_pmp_at is None:
            silence = PortMappingError(f"the router {self.server.host} does not answer in PCP or NAT-PMP")
            self._fail(self._refusal or silence)

    def _unmapped(self) -> None:
        if self._exchanges.pop(Purpose.UNMAP, None) is not None:
            self._events.append(PortUnmapped())

    def _lose(self, error: PortMappingError) -> None:
        mapping, self.mapping = self.mapping, None
        self._exchanges.clear()
        self._renew_at = self._ends_at = None
        self._is_doubted = self._is_hearsay = False
        if mapping is not None:
            self._events.append(PortMappingLost(mapping, error))

    def _fail(self, error: PortMappingError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._events.append(PortControlFailed(error))

    # --- what goes out -------------------------------------------------------------------------------------
    def _speak_nat_pmp(self, now: float) -> None:
        self._protocol = MappingProtocol.NAT_PMP
        self._exchanges.pop(Purpose.MAP, None)
        self._ask(now)

    def _ask(self, now: float, exchange: Callable[[bytes, float], Transaction] = question) -> None:
        """Ask for the port, or ask for it again, in the protocol that was settled on."""
        if self._protocol is MappingProtocol.NAT_PMP:
            port = self.internal.port if self._suggested is None else self._suggested.port
            data = natpmp.encode_map_request(
                internal_port=self.internal.port, suggested_port=port, lifetime_s=self._lifetime_s
            )
        else:
            data = self._pcp_map(self._lifetime_s)
        self._exchanges[Purpose.MAP] = exchange(data, now)

    def _begin(self, purpose: Purpose, exchange: Transaction, now: float) -> None:
        self._exchanges[purpose] = exchange
        self.handle_timer(now)

    def _pcp_map(self, lifetime_s: int) -> bytes:
        return pcp.encode_map(
            self.internal.host,
            nonce=self._nonce,
            internal_port=self.internal.port,
            lifetime_s=lifetime_s,
            suggested=self._suggested,
        )

    def _random(self) -> float:
        """A number from 0 to 1."""
        return int.from_bytes(self._random_bytes(2), "big") / (1 << 16)
