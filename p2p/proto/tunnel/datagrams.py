"""How the datagrams of a forwarded flow travel: in QUIC datagrams where they fit, else on the flow's stream.

A QUIC datagram holds one or more datagrams of one flow:

    stream id (varint), segment size (varint), data

The stream id names the flow. With segment size 0 the data is one datagram, possibly an empty one. Otherwise it is cut
into datagrams of that size, of which the last may be shorter: what a kernel joins on receiving (UDP_GRO) travels
joined and is cut by the other kernel (UDP_SEGMENT).

On the stream, behind its header, each datagram has its length in front:

    length (2 bytes), datagram
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2p.errors import DecodeError
from p2p.proto.tunnel.fields import decode_varint_untrusted, encode_varint

TRAIN_MAX_DATAGRAMS: Final = 64
"""Datagrams in one QUIC datagram: what Linux cuts in one call; and no packet makes a receiver send a thousand."""
DATAGRAM_MAX_BYTES: Final = 65_507
"""The largest payload of UDP over IPv4."""
_LENGTH_BYTES: Final = 2


class Train(NamedTuple):
    """The datagrams that one QUIC datagram brought.

    Attributes:
        stream_id: The flow's stream.
        datagrams: At least one.
    """

    stream_id: int
    datagrams: list[bytes]


def decode_train_untrusted(data: bytes) -> Train:
    """Read a QUIC datagram.

    Args:
        data: Its payload.

    Raises:
        DecodeError: It is cut short, or holds more datagrams than allowed.
    """
    stream_id, offset = decode_varint_untrusted(data, 0)
    size, offset = decode_varint_untrusted(data, offset)
    if not size:
        return Train(stream_id, [data[offset:]])
    length = len(data)
    count = -(-(length - offset) // size)
    if not 0 < count <= TRAIN_MAX_DATAGRAMS:
        raise DecodeError(f"{count} datagrams in one")
    return Train(stream_id, [data[start : start + size] for start in range(offset, length, size)])


class TrainBuilder:
    """Collects what a local socket received for one flow, and packs it.

    Only what arrived together is packed together; nothing waits here for more.

    Args:
        stream_id: The flow's stream.
    """

    __slots__ = ("_cut", "_name", "_prefixes", "_runs", "_single")

    def __init__(self, stream_id: int) -> None:
        self._name = encode_varint(stream_id)
        self._single = self._name + b"\0"
        self._prefixes: dict[int, bytes] = {}
        self._runs: list[tuple[int, list[bytes]]] = []
        self._cut = True

    def add(self, buffer: bytes, size: int) -> None:
        """Add datagrams that arrived.

        Args:
            buffer: One or more of ``size`` bytes, the last possibly shorter.
            size: 0 only for one empty datagram.
        """
        length = len(buffer)
        if not self._cut:
            run_size, run = self._runs[-1]
            if size == run_size or 0 < size == length < run_size:
                run.append(buffer)
                self._cut = length % run_size != 0
                return
        self._runs.append((size, [buffer]))
        self._cut = not size or length % size != 0

    def take(self, room_bytes: int) -> tuple[list[bytes], list[bytes]]:
        """Pack what was added.

        Args:
            room_bytes: The largest payload that a QUIC datagram may have; 0 if none can be sent.

        Returns:
            The payloads of QUIC datagrams, and the datagrams that do not fit any; both in order of arrival.
        """
        runs, self._runs = self._runs, []
        self._cut = True
        packed: list[bytes] = []
        large: list[bytes] = []
        for size, run in runs:
            data = run[0] if len(run) == 1 else b"".join(run)
            length = len(data)
            if length <= size:
                if length + len(self._single) <= room_bytes:
                    packed.append(self._single + data)
                else:
                    large.append(data)
                continue
            prefix = self._prefix(size)
            count = min((room_bytes - len(prefix)) // size, TRAIN_MAX_DATAGRAMS)
            if count < 2:
                self._pack_singly(data, size, room_bytes, packed, large)
            else:
                step = count * size
                packed += [prefix + data[start : start + step] for start in range(0, length, step)]
        return packed, large

    def _pack_singly(self, data: bytes, size: int, room_bytes: int, packed: list[bytes], large: list[bytes]) -> None:
        for start in range(0, len(data), size):
            datagram = data[start : start + size]
            if len(datagram) + len(self._single) <= room_bytes:
                packed.append(self._single + datagram)
            else:
                large.append(datagram)

    def _prefix(self, size: int) -> bytes:
        prefix = self._prefixes.get(size)
        if prefix is None:
            if len(self._prefixes) >= TRAIN_MAX_DATAGRAMS:
                self._prefixes.clear()
            prefix = self._prefixes[size] = self._name + encode_varint(size)
        return prefix


def frame_datagram(datagram: bytes) -> bytes:
    """Put a datagram's length in front of it, for the stream.

    Args:
        datagram: At most 65,535 bytes.
    """
    return len(datagram).to_bytes(_LENGTH_BYTES, "big") + datagram


class DatagramReader:
    """Takes datagrams off a stream, in whatever pieces it arrives."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_between_datagrams(self) -> bool:
        """Whether the stream may end here."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes.

        Returns:
            The datagrams that are whole now.
        """
        buffer = self._buffer
        buffer += data
        datagrams: list[bytes] = []
        offset = 0
        while (start := offset + _LENGTH_BYTES) <= len(buffer):
            end = start + int.from_bytes(buffer[offset:start], "big")
            if end > len(buffer):
                break
            datagrams.append(bytes(buffer[start:end]))
            offset = end
        del buffer[:offset]
        return datagrams
