import struct

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError, IntegrityError, LocalProtocolError
from p2p.proto.stun.attributes import (
    BY_TYPE,
    CHANNEL_NUMBER,
    DATA,
    ERROR_CODE,
    EVEN_PORT,
    ICE_CONTROLLING,
    ICMP,
    LIFETIME,
    MAPPED_ADDRESS,
    PASSWORD_ALGORITHMS,
    SOFTWARE,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    ErrorCodeValue,
    IcmpValue,
    PasswordAlgorithm,
    base,
    discovery,
    ice,
    knock,
    turn,
)
from p2p.proto.stun.integrity import (
    IntegrityAlgorithm,
    fingerprint_value,
    integrity_attribute,
    long_term_key,
    prepare,
    user_hash,
    verify,
)
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode, is_stun

TRANSACTION_ID = b"abcdefghijkl"
ADDRESS = TransportAddress("192.0.2.1", 32853)


def message(*attributes, message_class=MessageClass.REQUEST, method=Method.BINDING):
    return Message(message_class, method, TRANSACTION_ID, attributes)


def assemble(*attributes, first=b"\0\1"):
    """Put a message together from raw attributes: type and value."""
    body = b"".join(struct.pack("!HH", kind, len(v)) + v + bytes(-len(v) % 4) for kind, v in attributes)
    return first + struct.pack("!H", len(body)) + b"\x21\x12\xa4\x42" + TRANSACTION_ID + body


@pytest.mark.parametrize(
    ("message_class", "method", "number"),
    [
        (MessageClass.REQUEST, Method.BINDING, 0x0001),
        (MessageClass.SUCCESS, Method.BINDING, 0x0101),
        (MessageClass.ERROR, Method.BINDING, 0x0111),
        (MessageClass.INDICATION, Method.BINDING, 0x0011),
        (MessageClass.REQUEST, Method.ALLOCATE, 0x0003),
        (MessageClass.ERROR, Method.CHANNEL_BIND, 0x0119),
        (MessageClass.INDICATION, Method.SEND, 0x0016),
        (MessageClass.ERROR, 0xFFF, 0x3FFF),
    ],
)
def test_type_weaves_class_and_method(message_class, method, number):
    data = encode(message(message_class=message_class, method=method))
    assert data[:2] == struct.pack("!H", number)
    decoded = decode_untrusted(data)
    assert (decoded.message_class, decoded.method) == (message_class, method)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (XOR_MAPPED_ADDRESS(ADDRESS), "0001a147e112a643"),
        (MAPPED_ADDRESS(ADDRESS), "00018055c0000201"),
        (CHANNEL_NUMBER(0x4001), "40010000"),
        (LIFETIME(600), "00000258"),
        (ERROR_CODE(ErrorCodeValue(438, "Stale")), "000004265374616c65"),
        (UNKNOWN_ATTRIBUTES((0x7FFF, 1)), "7fff0001"),
        (EVEN_PORT(True), "80"),
        (EVEN_PORT(False), "00"),
        (USE_CANDIDATE(True), ""),
        (ICE_CONTROLLING(1), "0000000000000001"),
        (ICMP(IcmpValue(3, 4, b"\0\0\5\xdc")), "00000604000005dc"),
        (PASSWORD_ALGORITHMS((PasswordAlgorithm(2), PasswordAlgorithm(1))), "0002000000010000"),
    ],
)
def test_layout_of_values(entry, value):
    attribute, _ = entry
    data = encode(message(entry))
    expected = bytes.fromhex(value)
    assert data[20:] == struct.pack("!HH", attribute.type, len(expected)) + expected + bytes(-len(expected) % 4)
    assert decode_untrusted(data).get(attribute) == entry[1]


def test_first_of_repeated_attributes_counts_and_all_are_kept():
    other = ADDRESS._replace(port=1)
    decoded = decode_untrusted(encode(message(XOR_PEER_ADDRESS(ADDRESS), XOR_PEER_ADDRESS(other))))
    assert decoded.get(XOR_PEER_ADDRESS) == ADDRESS
    assert decoded.values(XOR_PEER_ADDRESS) == (ADDRESS, other)


def test_unknown_attributes():
    decoded = decode_untrusted(assemble((0x7FFE, b"x"), (0xFFFE, b"y"), (0x7FFD, b"")))
    assert decoded.unknown_required == (0x7FFE, 0x7FFD)
    assert decoded.attributes == ()


def test_no_number_is_used_twice():
    assert len(BY_TYPE) == sum(len(module.ATTRIBUTES) for module in (base, discovery, ice, knock, turn))
    assert all(kind == attribute.type for kind, attribute in BY_TYPE.items())


class TestIntegrity:
    KEY = b"a key"

    @pytest.mark.parametrize("algorithm", IntegrityAlgorithm)
    @pytest.mark.parametrize("fingerprint", [True, False])
    def test_verifies(self, algorithm, fingerprint):
        data = encode(message(USERNAME("x")), integrity_key=self.KEY, integrity=algorithm, fingerprint=fingerprint)
        decoded = decode_untrusted(data)
        assert decoded.has_integrity
        verify(decoded, self.KEY)
        verify(decoded, self.KEY, algorithm)
        with pytest.raises(IntegrityError):
            verify(decoded, b"another")

    @pytest.mark.parametrize("algorithm", IntegrityAlgorithm)
    def test_the_wanted_attribute_must_be_there(self, algorithm):
        other = next(a for a in IntegrityAlgorithm if a is not algorithm)
        decoded = decode_untrusted(encode(message(), integrity_key=self.KEY, integrity=other))
        with pytest.raises(IntegrityError):
            verify(decoded, self.KEY, algorithm)

    def test_missing(self):
        with pytest.raises(IntegrityError):
            verify(decode_untrusted(encode(message())), self.KEY)

    @pytest.mark.parametrize("algorithm", IntegrityAlgorithm)
    def test_every_covered_bit_counts(self, algorithm):
        data = encode(message(USERNAME("x")), integrity_key=self.KEY, integrity=algorithm)
        for at in (0, 1, 8, 24):
            changed = bytearray(data)
            changed[at] ^= 1
            with pytest.raises(IntegrityError):
                verify(decode_untrusted(bytes(changed)), self.KEY)

    def test_what_follows_is_ignored(self):
        signed = encode(message(USERNAME("x")), integrity_key=self.KEY)
        late = assemble((USERNAME.type, b"evil"), (0x7FFF, b""), (SOFTWARE.type, b"evil"))[20:]
        data = signed[:2] + struct.pack("!H", len(signed) + len(late) - 20) + signed[4:] + late
        decoded = decode_untrusted(data)
        assert decoded.get(USERNAME) == "x"
        assert decoded.get(SOFTWARE) is None
        assert decoded.unknown_required == ()
        verify(decoded, self.KEY)

    def test_both_attributes_may_be_there_and_the_stronger_is_taken(self):
        plain = encode(message(USERNAME("x")))
        signed = plain + integrity_attribute(plain, self.KEY, IntegrityAlgorithm.SHA1)
        signed += integrity_attribute(signed, b"stronger", IntegrityAlgorithm.SHA256)
        decoded = decode_untrusted(signed[:2] + struct.pack("!H", len(signed) - 20) + signed[4:])
        verify(decoded, self.KEY, IntegrityAlgorithm.SHA1)
        verify(decoded, b"stronger", IntegrityAlgorithm.SHA256)
        verify(decoded, b"stronger")
        with pytest.raises(IntegrityError):
            verify(decoded, self.KEY)

    def test_truncation_is_refused(self):
        data = assemble((0x001C, bytes(16)))
        with pytest.raises(IntegrityError, match="truncated"):
            verify(decode_untrusted(data), self.KEY)


class TestKeys:
    def test_long_term_md5(self):
        # Source: RFC 8489 section 9.2.2.
        key = long_term_key("user", "realm", "pass")
        assert key.hex() == "8493fbc53ba582fb4c044c456bdc40eb"

    def test_long_term_sha256(self):
        assert len(long_term_key("user", "realm", "pass", PasswordAlgorithm(2))) == 32

    def test_unknown_algorithm(self):
        with pytest.raises(LocalProtocolError):
            long_term_key("user", "realm", "pass", PasswordAlgorithm(99))

    def test_preparation(self):
        assert prepare("plain") == "plain"
        assert prepare("e\u0301\u00a0x") == "\u00e9 x"

    def test_user_hash(self):
        # Source: RFC 8489 appendix B.1.
        expected = "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
        assert user_hash("マトリックス", "example.org").hex() == expected


class TestFingerprint:
    def test_wrong_one_is_no_stun(self):
        data = bytearray(encode(message(), fingerprint=True))
        data[-1] ^= 1
        with pytest.raises(DecodeError):
            decode_untrusted(bytes(data))

    def test_must_be_last(self):
        data = encode(message(), fingerprint=True)
        data = data[:2] + struct.pack("!H", len(data) - 20 + 4) + data[4:] + b"\x80\x22\0\0"
        covered = data[:20]
        data = data[:24] + struct.pack("!I", fingerprint_value(covered)) + data[28:]
        with pytest.raises(DecodeError):
            decode_untrusted(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(19),
        b"\x40\0\0\0" + bytes(16),
        b"\0\1\0\4" + bytes(16),
        b"\0\1\0\2" + bytes(18),
        assemble((USERNAME.type, b"\xff")),
        assemble((USERNAME.type, b"x" * 514)),
        assemble((ERROR_CODE.type, b"\0\0\2\0")),
        assemble((ERROR_CODE.type, b"\0\0\4\x64")),
        assemble((ERROR_CODE.type, b"\0\0\4")),
        assemble((XOR_MAPPED_ADDRESS.type, b"\0\3" + bytes(6))),
        assemble((XOR_MAPPED_ADDRESS.type, b"\0\1" + bytes(5))),
        assemble((LIFETIME.type, b"\0\0\0")),
        assemble((USE_CANDIDATE.type, b"\0")),
        assemble((0x0008, bytes(19))),
        assemble((0x001C, bytes(36))),
        assemble((UNKNOWN_ATTRIBUTES.type, b"\0\0\0")),
        assemble((PASSWORD_ALGORITHMS.type, b"\0\1\0")),
        assemble((PASSWORD_ALGORITHMS.type, b"\0\1\0\4")),
        assemble((0x001D, b"\0\1\0\0\0\2\0\0")),
        assemble((0x7FFF, b"")) + b"\0\0\0\0",
        assemble(*[(0xFFFF, b"")] * 65),
        assemble()[:2] + b"\0\4" + assemble()[4:] + b"\0\6\0\4",
    ],
)
def test_garbage_is_a_decode_error(data):
    with pytest.raises(DecodeError):
        decode_untrusted(data)


def test_sixty_four_attributes_are_enough_for_all():
    decode_untrusted(assemble(*[(0xFFFF, b"")] * 64))


def test_sloppy_text_for_people_is_no_reason_to_lose_a_message():
    assert decode_untrusted(assemble((SOFTWARE.type, b"caf\xe9"))).get(SOFTWARE) == "caf\ufffd"


def test_classic_message_has_sixteen_bytes_of_id():
    classic = Message(MessageClass.REQUEST, Method.BINDING, b"0123456789abcdef")
    data = encode(classic)
    assert len(data) == 20
    assert decode_untrusted(data) == classic
    assert classic.is_classic
    assert not is_stun(data)
    assert not message().is_classic


@pytest.mark.parametrize(
    "bad",
    [
        Message(MessageClass.REQUEST, Method.BINDING, b"short"),
        message(method=0x1000),
        message(USERNAME("x" * 514)),
        message(USERNAME("\ud800")),
        message(XOR_MAPPED_ADDRESS(TransportAddress("not an address", 1))),
        message(XOR_MAPPED_ADDRESS(TransportAddress("192.0.2.1", 65536))),
        message(MAPPED_ADDRESS(TransportAddress("192.0.2.1", -1))),
        message(LIFETIME(-1)),
        message(LIFETIME(1 << 32)),
        message(ERROR_CODE(ErrorCodeValue(200))),
        message(UNKNOWN_ATTRIBUTES((65536,))),
        message(USE_CANDIDATE(False)),
        message(DATA(bytes(65536))),
        message(DATA(bytes(40000)), DATA(bytes(40000))),
    ],
)
def test_what_does_not_fit_is_our_own_error(bad):
    with pytest.raises(LocalProtocolError):
        encode(bad)


def test_is_stun():
    data = encode(message())
    assert is_stun(data)
    assert is_stun(memoryview(data))
    assert not is_stun(data[:19])
    assert not is_stun(b"\x40" + data[1:])


def test_scope_of_an_ipv6_address_is_dropped():
    decoded = decode_untrusted(encode(message(XOR_MAPPED_ADDRESS(TransportAddress("fe80::1%eth0", 1)))))
    assert decoded.get(XOR_MAPPED_ADDRESS) == ("fe80::1", 1)
