"""The relay's control plane as a rule-based machine beside a model that is too simple to be wrong."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    LIFETIME,
    MOBILITY_TICKET,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.message import Method
from relay.core.quotas import QuotaLimits
from relay.core.strangers import StrangerLimit
from tests.unit.relay.support import Client, Relay, error_of

STEP_S = 1.0
"""Things may end this much late, never early."""

PEERS = [
    TransportAddress("8.8.8.8", 5000),
    TransportAddress("8.8.8.8", 5001),
    TransportAddress("9.9.9.9", 5000),
    TransportAddress("9.9.9.9", 5001),
]
NUMBERS = [0x4000, 0x4001, 0x4002]
CLIENTS = 4
QUOTA_OF_ALICE = 2
QUOTA_IN_ALL = 3

clients = st.integers(0, CLIENTS - 1)
peers = st.sampled_from(PEERS)
numbers = st.sampled_from(NUMBERS)


class Model:
    """What one client should have: instants at which things end."""

    def __init__(self, relayed: TransportAddress, ends_at: float) -> None:
        self.relayed = relayed
        self.ends_at = ends_at
        self.permissions: dict[str, float] = {}
        self.channels: dict[int, tuple[TransportAddress, float]] = {}
        self.ticket = b""


class AllocationTableMachine(RuleBasedStateMachine):
    """Clients allocate, refresh, permit, bind, send and vanish in any order, while time passes."""

    @initialize()
    def start(self) -> None:
        quotas = QuotaLimits(total=QUOTA_IN_ALL, per_user=QUOTA_OF_ALICE, per_address=100)
        self.relay = Relay(quotas=quotas, first_port=50_000, last_port=50_009, strangers=StrangerLimit(burst_bytes=1e9))
        self.clients = [
            Client(self.relay, 4000 + number, username="alice" if number < CLIENTS - 1 else "bob")
            for number in range(CLIENTS)
        ]
        for client in self.clients:
            client.nonce = self.relay.nonces.issue_in_advance(b"abc", self.relay.now_wall)
        self.models: dict[int, Model] = {}

    # --- rules ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.25, 1.0, 31.0, 100.0, 299.0, 301.0, 599.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.relay.advance(seconds)
        for client in self.clients:
            client.nonce = self.relay.nonces.issue_in_advance(b"abc", self.relay.now_wall)
        now = self.relay.now
        for number, model in list(self.models.items()):
            if self._is_over(model.ends_at):
                del self.models[number]
                continue
            model.permissions = {host: at for host, at in model.permissions.items() if not self._is_over(at)}
            model.channels = {key: value for key, value in model.channels.items() if not self._is_over(value[1])}
        assert self.relay.now == now

    @rule(number=clients, peer=peers, channel=numbers)
    def outlive_a_permission(self, number: int, peer: TransportAddress, channel: int) -> None:
        """Go where chance rarely leads: a channel whose permission ended and comes back."""
        self.refresh(number, 3600)
        self.bind(number, channel, peer)
        self.time_passes(301.0)
        self.receive(number, peer)
        self.permit(number, peer)
        self.receive(number, peer)

    @rule(number=clients, lifetime_s=st.sampled_from([0, 600, 900, 3600, 10**6]))
    def allocate(self, number: int, lifetime_s: int) -> None:
        client = self.clients[number]
        answer = client.request(Method.ALLOCATE, REQUESTED_TRANSPORT(17), LIFETIME(lifetime_s), MOBILITY_TICKET(b""))
        if number in self.models:
            assert error_of(answer) == 437
            return
        owners = [self.clients[other].username for other in self.models]
        if len(owners) >= QUOTA_IN_ALL:
            assert error_of(answer) == 508
        elif owners.count(client.username) >= QUOTA_OF_ALICE:
            assert error_of(answer) == 486
        else:
            granted_s = min(max(lifetime_s, 600), 3600)
            assert answer.get(LIFETIME) == granted_s
            self.models[number] = Model(answer.get(XOR_RELAYED_ADDRESS), self.relay.now + granted_s)
            self.models[number].ticket = answer.get(MOBILITY_TICKET)

    @rule(number=clients, lifetime_s=st.sampled_from([0, 600, 3600]))
    def refresh(self, number: int, lifetime_s: int) -> None:
        error = error_of(self.clients[number].refresh(LIFETIME(lifetime_s)))
        if number not in self.models:
            assert error == 437
            return
        assert error == 0
        if lifetime_s:
            self.models[number].ends_at = self.relay.now + lifetime_s
        else:
            del self.models[number]

    @rule(number=clients)
    def vanish(self, number: int) -> None:
        """Its connection ends, and it does not come back in time."""
        self.relay.server.disconnect(self.clients[number].five_tuple, self.relay.now)
        self.models.pop(number, None)
        self.time_passes(121.0)

    @rule(number=clients, to=clients, is_lost=st.booleans())
    def move(self, number: int, to: int, is_lost: bool) -> None:
        """A client goes on where another one is, with the other one's user name or its own."""
        if number not in self.models or to in self.models:
            return
        if is_lost:
            self.relay.server.disconnect(self.clients[number].five_tuple, self.relay.now)
        same_user = self.clients[to].username == self.clients[number].username
        answer = self.clients[to].refresh(LIFETIME(900), MOBILITY_TICKET(self.models[number].ticket))
        if same_user:
            assert error_of(answer) == 0
            model = self.models[to] = self.models.pop(number)
            model.ticket = answer.get(MOBILITY_TICKET)
            model.ends_at = self.relay.now + 900
        else:
            assert error_of(answer) == 441
            if is_lost:
                del self.models[number]
                self.time_passes(121.0)

    @rule(number=clients, peer=peers)
    def permit(self, number: int, peer: TransportAddress) -> None:
        error = error_of(self.clients[number].permit(peer))
        if number in self.models:
            assert error == 0
            self.models[number].permissions[peer.host] = self.relay.now + 300
        else:
            assert error == 437

    @rule(number=clients, channel=numbers, peer=peers)
    def bind(self, number: int, channel: int, peer: TransportAddress) -> None:
        client = self.clients[number]
        error = error_of(client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(channel), XOR_PEER_ADDRESS(peer)))
        if number not in self.models:
            assert error == 437
            return
        model = self.models[number]
        bound = {key: value[0] for key, value in model.channels.items()}
        if bound.get(channel, peer) != peer or any(p == peer and key != channel for key, p in bound.items()):
            assert error == 400
            return
        assert error == 0
        model.channels[channel] = (peer, self.relay.now + 600)
        model.permissions[peer.host] = self.relay.now + 300

    @rule(number=clients, peer=peers)
    def send_indication(self, number: int, peer: TransportAddress) -> None:
        client = self.clients[number]
        before = self._sent()
        client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(b"data"))
        is_allowed = number in self.models and peer.host in self.models[number].permissions
        assert self._sent() - before == int(is_allowed)

    @rule(number=clients, peer=peers)
    def receive(self, number: int, peer: TransportAddress) -> None:
        if number not in self.models:
            return
        client, model = self.clients[number], self.models[number]
        messages, channel_data = len(client.leg.messages), len(client.leg.channel_data)
        client.allocation.receive_from_peer(peer, (b"data",))
        is_allowed = peer.host in model.permissions
        has_channel = any(p == peer for p, _ in model.channels.values())
        assert len(client.leg.channel_data) - channel_data == int(is_allowed and has_channel)
        assert len(client.leg.messages) - messages == int(is_allowed and not has_channel)

    @rule(sender=clients, receiver=clients)
    def talk_to_a_neighbour(self, sender: int, receiver: int) -> None:
        if sender not in self.models or receiver not in self.models:
            return
        there = self.models[receiver].relayed
        self.clients[sender].permit(there)
        self.models[sender].permissions[there.host] = self.relay.now + 300
        client = self.clients[receiver]
        heard = len(client.leg.messages)
        self.clients[sender].indicate(Method.SEND, XOR_PEER_ADDRESS(there), DATA(b"data"))
        is_heard = self.models[sender].relayed.host in self.models[receiver].permissions
        assert len(client.leg.messages) - heard == int(is_heard)

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        if not hasattr(self, "models"):
            return
        table = self.relay.server.table
        assert len(table) == len(self.models) == len(list(table)) == len(table._by_ticket)
        directory = self.relay.neighbourhood.by_relayed_address
        assert set(directory) == {model.relayed for model in self.models.values()}
        for number, model in self.models.items():
            allocation = self.clients[number].allocation
            assert directory[model.relayed] is allocation
            assert set(allocation.permissions) == set(model.permissions)
            assert {n: c.peer for n, c in allocation.channels.items()} == {n: p for n, (p, _) in model.channels.items()}
            usable = {p for p, _ in model.channels.values() if p.host in model.permissions}
            assert set(allocation.channel_of_peer) == usable

    @invariant()
    def nothing_leaks(self) -> None:
        if not hasattr(self, "models"):
            return
        table = self.relay.server.table
        expected = len(self.models) + sum(len(m.permissions) + len(m.channels) for m in self.models.values())
        assert len(table._expiries) == expected
        open_ports = {port for port, socket in self.relay.sockets.items() if not socket.is_closed}
        assert open_ports == {model.relayed.port for model in self.models.values()}
        ends = [model.ends_at for model in self.models.values()]
        assert (self.relay.server.get_timer() is None) == (not ends)

    def _is_over(self, at: float) -> bool:
        # Expiry happens at whole steps: what ends between two steps is still there until the second.
        return -int(-at // STEP_S) * STEP_S <= self.relay.now

    def _sent(self) -> int:
        return sum(len(socket.sent) for socket in self._all_sockets)

    @property
    def _all_sockets(self) -> list:
        return list(self.relay.sockets.values())


TestAllocationTable = AllocationTableMachine.TestCase
TestAllocationTable.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
