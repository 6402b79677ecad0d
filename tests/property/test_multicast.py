"""Answers by multicast DNS: what was announced is read again, and anything else harms nobody."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zeroconf import DNSCache, DNSIncoming, DNSOutgoing, RecordUpdate, current_time_millis
from zeroconf.asyncio import AsyncServiceInfo

from p2p.address import TransportAddress
from p2p.gather.multicast import LanAnnouncement, question, read_untrusted

TYPE = "_p2p-toolkit._udp.local."
PORTS = st.integers(1, 65535)
IPV4 = st.integers(0x01000000, 0xDFFFFFFF).map(lambda number: str(ipaddress.IPv4Address(number)))
IPV6 = st.integers(0x2000 << 112, 0xFDFF << 112).map(lambda number: str(ipaddress.IPv6Address(number)))


def packet(info: AsyncServiceInfo) -> bytes:
    message = DNSOutgoing(0x8400)
    for record in (info.dns_service(), info.dns_text(), *info.dns_addresses()):
        message.add_answer_at_time(record, 0)
    return bytes(message.packets()[0])


def read(label: str, data: bytes) -> tuple[TransportAddress, ...]:
    info = question(label)
    answers = DNSIncoming(data).answers()
    cache = DNSCache()
    cache.async_add_records(answers)
    network: Any = SimpleNamespace(cache=cache)
    info.async_update_records(network, current_time_millis(), [RecordUpdate(record, None) for record in answers])
    return read_untrusted(info)


@given(PORTS, PORTS, st.sets(IPV4, max_size=4), st.sets(IPV6, max_size=4))
def test_what_is_announced_is_read_again(port: int, port6: int, hosts: set[str], hosts6: set[str]) -> None:
    announced = [TransportAddress(host, port) for host in hosts] + [TransportAddress(host, port6) for host in hosts6]
    data = packet(LanAnnouncement("label", announced)._info)
    assert set(read("label", data)) == set(announced)
    assert read("other", data) == ()


@given(st.integers(0, 65535), st.binary(max_size=64), st.lists(IPV4 | IPV6, max_size=30))
def test_whatever_somebody_answers_is_bounded(port: int, text: bytes, hosts: list[str]) -> None:
    info = AsyncServiceInfo(
        TYPE, f"label.{TYPE}", port=port, properties=text, server="any.local.", parsed_addresses=hosts
    )
    found = read("label", packet(info))
    assert len(found) <= 8
    assert all(address.port and address.host in hosts for address in found)


@given(st.binary(max_size=300))
def test_anything_is_read_without_harm(data: bytes) -> None:
    assert read("label", data) == ()
