"""QUIC's variable-length integers, as far as an adapter needs them to correct a transport parameter.

    2 bits   length: 1, 2, 4 or 8 bytes
    rest     the value, big-endian

Source: RFC 9000 sections 16 and 18.
"""

from __future__ import annotations

from p2p.errors import DecodeError


def encode_varint(value: int) -> bytes:
    """Encode 0 to 2^62 - 1 in as few bytes as it takes."""
    for exponent, limit in enumerate((1 << 6, 1 << 14, 1 << 30, 1 << 62)):
        if value < limit:
            size = 1 << exponent
            return (value | exponent << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(f"{value} does not fit a variable-length integer")


def decode_varint_untrusted(data: bytes, offset: int) -> tuple[int, int]:
    """Decode the integer at an offset.

    Returns:
        The value and the offset behind it.

    Raises:
        DecodeError: The data ends too soon.
    """
    if offset >= len(data):
        raise DecodeError("variable-length integer expected")
    size = 1 << (data[offset] >> 6)
    end = offset + size
    if end > len(data):
        raise DecodeError("variable-length integer cut off")
    return int.from_bytes(data[offset:end], "big") & ((1 << (8 * size - 2)) - 1), end


def replace_parameter(parameters: bytes, parameter_id: int, value: int) -> bytes:
    """Give an integer among encoded transport parameters another value; all others keep their bytes.

    Args:
        parameters: The extension's content: id, length, value, and so on.
        parameter_id: Which one to replace; it is left out if it is not there.
        value: Its new value.

    Raises:
        DecodeError: The content is not a list of parameters.
    """
    encoded = encode_varint(value)
    result = bytearray()
    offset = 0
    while offset < len(parameters):
        start = offset
        found_id, offset = decode_varint_untrusted(parameters, offset)
        length, offset = decode_varint_untrusted(parameters, offset)
        offset += length
        if offset > len(parameters):
            raise DecodeError("transport parameter cut off")
        if found_id == parameter_id:
            result += encode_varint(parameter_id) + encode_varint(len(encoded)) + encoded
        else:
            result += parameters[start:offset]
    return bytes(result)
