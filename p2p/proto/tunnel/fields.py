"""The small pieces every tunnel message is made of: variable-length integers, text, and lists of fields.

    field list:   { id (varint), length (varint), value (length bytes) } ...
    varint:       1, 2, 4 or 8 bytes, big endian; the two top bits of the first byte tell how many

A field list is how a message grows: a reader skips the ids it does not know. An id must not appear twice.

Source: RFC 9000 section 16 for the integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from p2p.errors import DecodeError, LocalProtocolError

VARINT_MAX: Final = (1 << 62) - 1
_PREFIXES: Final = ((0x3F, 1, 0x00), (0x3FFF, 2, 0x40), (0x3FFFFFFF, 4, 0x80), (VARINT_MAX, 8, 0xC0))


def encode_varint(value: int) -> bytes:
    """Encode an integer in the fewest bytes.

    Args:
        value: 0 to 2^62 - 1.

    Raises:
        LocalProtocolError: The value is out of range.
    """
    for largest, length, prefix in _PREFIXES:
        if 0 <= value <= largest:
            encoded = bytearray(value.to_bytes(length, "big"))
            encoded[0] |= prefix
            return bytes(encoded)
    raise LocalProtocolError(f"{value} does not fit a variable-length integer")


def decode_varint_untrusted(data: bytes, offset: int) -> tuple[int, int]:
    """Read an integer; longer spellings than needed are accepted, as RFC 9000 allows.

    Args:
        data: The message.
        offset: Where the integer begins.

    Returns:
        The value, and the offset behind it.

    Raises:
        DecodeError: The message ends before the integer does.
    """
    if offset >= len(data):
        raise DecodeError("message ends where an integer was expected")
    length = 1 << (data[offset] >> 6)
    end = offset + length
    if end > len(data):
        raise DecodeError("message ends within an integer")
    return int.from_bytes(data[offset:end], "big") & ((1 << (8 * length - 2)) - 1), end


def encode_text(text: str, max_bytes: int) -> bytes:
    """Encode text as UTF-8 without its unprintable characters, cut at a whole character.

    Args:
        text: What to tell the other side.
        max_bytes: Where to cut.
    """
    printable = "".join(character for character in text if character.isprintable())
    return printable.encode("utf-8", "ignore")[:max_bytes].decode("utf-8", "ignore").encode()


def decode_text_untrusted(data: bytes, max_bytes: int) -> str:
    """Decode text that may reach a terminal or a log: UTF-8, printable, not too long.

    Args:
        data: The encoded text.
        max_bytes: The most bytes allowed.

    Raises:
        DecodeError: It is not such text.
    """
    if len(data) > max_bytes:
        raise DecodeError(f"text of {len(data)} bytes where {max_bytes} are allowed")
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("text is not UTF-8") from error
    if not text.isprintable():
        raise DecodeError("text holds unprintable characters")
    return text


def encode_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Encode a field list.

    Args:
        fields: Pairs of a field id and its value.
    """
    encoded = bytearray()
    for field_id, value in fields:
        encoded += encode_varint(field_id) + encode_varint(len(value)) + value
    return bytes(encoded)


def decode_fields_untrusted(data: bytes) -> Mapping[int, bytes]:
    """Read a field list that fills all of ``data``.

    Args:
        data: The encoded list.

    Returns:
        The values by field id, unknown ids included.

    Raises:
        DecodeError: A field is cut short, or an id appears twice.
    """
    fields: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        field_id, offset = decode_varint_untrusted(data, offset)
        length, offset = decode_varint_untrusted(data, offset)
        end = offset + length
        if end > len(data):
            raise DecodeError(f"field {field_id} is cut short")
        if field_id in fields:
            raise DecodeError(f"field {field_id} appears twice")
        fields[field_id] = bytes(data[offset:end])
        offset = end
    return fields
