"""What a STUN message of anybody costs a program with many sessions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.path.asked import AskedChecks
from p2p.proto.stun.attributes import PRIORITY, USERNAME, XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from p2p.session import node as node_module
from p2p.session.node import Node

SOURCE = TransportAddress("192.0.2.1", 9)
KEY = b"k" * 16


class Session:
    """Notes what it is offered."""

    def __init__(self) -> None:
        self.offered: list[Message] = []

    def stun_received(self, message: Message, base_id: int, source: TransportAddress, now: float) -> bool:
        self.offered.append(message)
        return False


class Discovery:
    """Wants nothing."""

    def stun_received(self, *_: object) -> bool:
        return False


class NoSpareSockets:
    """There are none."""

    def taker(self, base_id: int) -> None:
        return None


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    node: Any = Node.__new__(Node)
    node._discovery, node._knocking, node.spare_sockets = Discovery(), None, NoSpareSockets()
    node._relay_distances = Discovery()
    node.endpoint = SimpleNamespace(asked=AskedChecks(most=100))
    node.sessions = {f"user{number}": Session() for number in range(500)}
    node.decoded = 0

    def counted(data: bytes) -> Message:
        node.decoded += 1
        return decode_untrusted(data)

    monkeypatch.setattr(node_module, "decode_untrusted", counted)
    return node


def offered(node: Any) -> int:
    return sum(len(session.offered) for session in node.sessions.values())


def check(number: int) -> bytes:
    return encode(Message(MessageClass.REQUEST, Method.BINDING, number.to_bytes(12, "big"), ()))


def answer_to(number: int) -> bytes:
    answer = Message(MessageClass.SUCCESS, Method.BINDING, number.to_bytes(12, "big"), (XOR_MAPPED_ADDRESS(SOURCE),))
    return encode(answer, integrity_key=KEY, fingerprint=True)


def test_an_answer_reaches_the_session_that_asked(node: Any) -> None:
    node.endpoint.asked.note(check(3), "user7")
    node.endpoint.asked.note(check(4), "user8")
    node.stun_received(answer_to(3), 1, SOURCE, 0.0)
    assert (node.decoded, offered(node), len(node.sessions["user7"].offered)) == (1, 1, 1)


def test_an_answer_that_nobody_asked_for_reaches_no_session(node: Any) -> None:
    node.endpoint.asked.note(check(3), "user7")
    node.stun_received(answer_to(4), 1, SOURCE, 0.0)
    del node.sessions["user7"]
    node.stun_received(answer_to(3), 1, SOURCE, 0.0)
    assert offered(node) == 0


def test_the_latest_checks_are_remembered(node: Any) -> None:
    for number in range(150):
        node.endpoint.asked.note(check(number), "user7")
    node.stun_received(answer_to(49), 1, SOURCE, 0.0)
    assert offered(node) == 0
    node.stun_received(answer_to(50), 1, SOURCE, 0.0)
    assert offered(node) == 1


def test_an_answer_without_integrity_reaches_no_session(node: Any) -> None:
    answer = Message(MessageClass.SUCCESS, Method.BINDING, bytes(12), (XOR_MAPPED_ADDRESS(SOURCE),))
    node.stun_received(encode(answer), 1, SOURCE, 0.0)
    assert offered(node) == 0


def test_a_check_reaches_the_session_that_it_names(node: Any) -> None:
    check = Message(MessageClass.REQUEST, Method.BINDING, bytes(12), (USERNAME("user7:them"), PRIORITY(1)))
    node.stun_received(encode(check, integrity_key=KEY, fingerprint=True), 1, SOURCE, 0.0)
    assert (offered(node), len(node.sessions["user7"].offered)) == (1, 1)


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(20), b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(11)])
def test_nonsense_reaches_nobody(node: Any, data: bytes) -> None:
    node.stun_received(data, 1, SOURCE, 0.0)
    assert offered(node) == 0
