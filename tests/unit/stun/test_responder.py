import struct

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CHANGE_REQUEST,
    CHANGED_ADDRESS,
    ERROR_CODE,
    FINGERPRINT,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    PADDING,
    PRIORITY,
    RESPONSE_ADDRESS,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    SOFTWARE,
    SOURCE_ADDRESS,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    ChangeRequest,
)
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from p2p.proto.stun.responder import BindingResponder

CLIENT = TransportAddress("203.0.113.7", 5555)
CORNERS = [TransportAddress(host, port) for host in ("198.51.100.10", "198.51.100.20") for port in (3478, 3479)]
PRIMARY, SAME_IP, SAME_PORT, FAR = CORNERS


def request(*attributes, transaction_id=b"abcdefghijkl", **options):
    return encode(Message(MessageClass.REQUEST, Method.BINDING, transaction_id, attributes), **options)


def classic(*attributes):
    return request(*attributes, transaction_id=b"0123456789abcdef")


def ask(data, servers=CORNERS, local=PRIMARY, **options):
    reply = BindingResponder(servers).respond(data, CLIENT, local, **options)
    assert reply is not None
    return reply, decode_untrusted(reply.data)


def test_plain_request():
    reply, message = ask(request())
    assert (reply.destination, reply.local) == (CLIENT, PRIMARY)
    assert message.message_class is MessageClass.SUCCESS
    assert message.transaction_id == b"abcdefghijkl"
    assert message.get(XOR_MAPPED_ADDRESS) == CLIENT
    assert message.get(RESPONSE_ORIGIN) == PRIMARY
    assert message.get(OTHER_ADDRESS) == FAR
    assert message.get(MAPPED_ADDRESS) is None
    assert message.get(FINGERPRINT) is None


def test_fingerprint_is_answered_with_a_fingerprint():
    assert ask(request(fingerprint=True))[1].get(FINGERPRINT) is not None


@pytest.mark.parametrize(
    ("change", "origin"),
    [((False, False), PRIMARY), ((False, True), SAME_IP), ((True, False), SAME_PORT), ((True, True), FAR)],
)
@pytest.mark.parametrize("make", [request, classic])
def test_change_request(make, change, origin):
    reply, message = ask(make(CHANGE_REQUEST(ChangeRequest(*change))))
    assert reply.local == origin
    assert (message.get(RESPONSE_ORIGIN) or message.get(SOURCE_ADDRESS)) == origin


def test_classic_client_is_answered_in_its_own_words():
    reply, message = ask(classic())
    assert message.is_classic
    assert message.get(MAPPED_ADDRESS) == CLIENT
    assert message.get(SOURCE_ADDRESS) == PRIMARY
    assert message.get(CHANGED_ADDRESS) == FAR
    assert message.get(XOR_MAPPED_ADDRESS) is None
    assert len(reply.data) == 56


def test_response_port():
    reply, _ = ask(request(RESPONSE_PORT(7777)))
    assert reply.destination == CLIENT._replace(port=7777)


@pytest.mark.parametrize("attributes", [(RESPONSE_PORT(7777), PADDING(bytes(8))), (RESPONSE_PORT(0),)])
def test_bad_combinations_are_refused(attributes):
    reply, message = ask(request(*attributes))
    assert message.get(ERROR_CODE).code == 400
    assert reply.destination == CLIENT


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (1, 1), (1000, 1000), (4000, 1500)])
def test_padding_is_never_more_than_was_sent(asked, given):
    assert len(ask(request(PADDING(bytes(asked))))[1].get(PADDING)) == given


def test_unknown_attributes_are_named():
    data = request(PRIORITY(1), USERNAME("x"), RESPONSE_ADDRESS(CLIENT))
    data = data[:2] + struct.pack("!H", len(data) - 20 + 4) + data[4:] + b"\x7f\xff\0\0"
    _, message = ask(data)
    assert message.get(ERROR_CODE).code == 420
    assert message.get(UNKNOWN_ATTRIBUTES) == (0x7FFF, PRIORITY.type, RESPONSE_ADDRESS.type)


def test_classic_refusal_has_values_of_four_bytes_each():
    _, message = ask(classic(RESPONSE_ADDRESS(CLIENT)))
    assert message.get(UNKNOWN_ATTRIBUTES) == (RESPONSE_ADDRESS.type,) * 2
    assert len(message.get(ERROR_CODE).reason) % 4 == 0


class TestFewerAddresses:
    def test_one_ip_with_two_ports_promises_no_other_ip(self):
        reply, message = ask(request(CHANGE_REQUEST(ChangeRequest(False, True))), CORNERS[:2])
        assert reply.local == SAME_IP
        assert message.get(OTHER_ADDRESS) is None

    @pytest.mark.parametrize("change", [(True, False), (True, True)])
    def test_one_ip_refuses_to_change_it(self, change):
        reply, message = ask(request(CHANGE_REQUEST(ChangeRequest(*change))), CORNERS[:2])
        assert message.get(ERROR_CODE).code == 420
        assert message.get(UNKNOWN_ATTRIBUTES) == (CHANGE_REQUEST.type,)
        assert reply.local == PRIMARY

    def test_one_ip_tells_classic_clients_the_other_port(self):
        assert ask(classic(), CORNERS[:2])[1].get(CHANGED_ADDRESS) == SAME_IP

    def test_classic_clients_get_silence_for_what_cannot_be_done(self):
        data = classic(CHANGE_REQUEST(ChangeRequest(True, True)))
        assert BindingResponder(CORNERS[:2]).respond(data, CLIENT, PRIMARY) is None

    def test_two_ips_with_one_port_promise_no_far_corner(self):
        reply, message = ask(request(CHANGE_REQUEST(ChangeRequest(True, False))), [PRIMARY, SAME_PORT])
        assert reply.local == SAME_PORT
        assert message.get(OTHER_ADDRESS) is None

    def test_single_address(self):
        _, message = ask(request(), [PRIMARY])
        assert message.get(XOR_MAPPED_ADDRESS) == CLIENT
        assert message.get(OTHER_ADDRESS) is None
        assert ask(classic(), [PRIMARY])[1].get(CHANGED_ADDRESS) is None

    def test_address_that_is_not_the_responders_is_answered_plainly(self):
        elsewhere = TransportAddress("192.0.2.1", 80)
        reply, message = ask(request(), local=elsewhere)
        assert reply.local == elsewhere
        assert [attribute for attribute, _ in message.attributes] == [XOR_MAPPED_ADDRESS]

    def test_families_do_not_mix(self):
        six = TransportAddress("2001:db8::1", 3479)
        _, message = ask(request(), [PRIMARY, six])
        assert message.get(OTHER_ADDRESS) is None


def test_addresses_behind_a_nat_of_the_server_are_told_as_clients_reach_them():
    public = [TransportAddress("192.0.2.1", 3478), TransportAddress("192.0.2.2", 3479)]
    responder = BindingResponder(CORNERS, advertised={PRIMARY: public[0], FAR: public[1]})
    reply = responder.respond(request(), CLIENT, PRIMARY)
    message = decode_untrusted(reply.data)
    assert message.get(RESPONSE_ORIGIN) == public[0]
    assert message.get(OTHER_ADDRESS) == public[1]
    assert reply.local == PRIMARY


def test_stream_is_answered_plainly():
    _, message = ask(request(), reliable=True)
    assert message.get(OTHER_ADDRESS) is None
    for attribute in (RESPONSE_PORT(7777), CHANGE_REQUEST(ChangeRequest(True, True))):
        assert ask(request(attribute), reliable=True)[1].get(ERROR_CODE).code == 420


def test_software():
    reply = BindingResponder(CORNERS, software="p2p").respond(request(), CLIENT, PRIMARY)
    assert decode_untrusted(reply.data).get(SOFTWARE) == "p2p"


@pytest.mark.parametrize("message_class", [MessageClass.INDICATION, MessageClass.SUCCESS, MessageClass.ERROR])
def test_only_requests_are_answered(message_class):
    data = encode(Message(message_class, Method.BINDING, b"abcdefghijkl"))
    assert BindingResponder(CORNERS).respond(data, CLIENT, PRIMARY) is None


def test_other_methods_and_garbage_are_not_answered():
    responder = BindingResponder(CORNERS)
    other = encode(Message(MessageClass.REQUEST, Method.ALLOCATE, b"abcdefghijkl"))
    for data in (other, b"", b"garbage", request()[:-1]):
        assert responder.respond(data, CLIENT, PRIMARY) is None


@pytest.mark.parametrize("data", [request(), request(fingerprint=True), classic()])
def test_answers_are_small(data):
    reply, _ = ask(data)
    assert len(reply.data) <= len(data) + 36
