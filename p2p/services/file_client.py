"""Asks a file service: HTTP/1.1 with blocking calls, for threads that read and write files anyway."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from p2p.errors import DecodeError, ErrorCode, ForwardError
from p2p.services.tree import PART_PREFIX, names_untrusted

CODE_NOT_PERMITTED: Final = ErrorCode(
    "P2P-6411", "Ask the exposing side for `p2p expose ./folder` to read, or --inbox to put files into."
)
CODE_NOT_FOUND: Final = ErrorCode(
    "P2P-6412", "Look at what is there: connect to it with `p2p connect` and a browser, or copy the whole folder."
)
CODE_TAKEN: Final = ErrorCode("P2P-6413", "Choose another name: what is there already is not replaced.")
CODE_CHANGED: Final = ErrorCode("P2P-6414", "Run the same command again: it starts this file anew.", retryable=True)
CODE_NO_ROOM: Final = ErrorCode("P2P-6415", "Make room on the receiving side, and run the same command again.")
CODE_FAILED: Final = ErrorCode(
    "P2P-6416", "Run the same command again: it goes on where this one ended.", retryable=True
)

_ERRORS: Final[Mapping[int, tuple[ErrorCode, str]]] = {
    403: (CODE_NOT_PERMITTED, "the other side does not permit it"),
    404: (CODE_NOT_FOUND, "there is nothing of that name"),
    405: (CODE_NOT_PERMITTED, "the other side takes no files"),
    409: (CODE_TAKEN, "something else has that name"),
    412: (CODE_CHANGED, "the file has changed meanwhile"),
    422: (CODE_CHANGED, "what arrived is not what was sent"),
    507: (CODE_NO_ROOM, "no room is left on the other side"),
}
_LISTING_MAX_BYTES: Final = 64 << 20
"""A list of 500,000 files; more is no folder but an attack."""
_TEXT_MAX_CHARACTERS: Final = 200


class Reply(NamedTuple):
    """The beginning of an answer.

    Attributes:
        status: The status code.
        headers: Header fields; look-ups ignore case.
        body: What follows; read it to its end, or close the client.
    """

    status: int
    headers: http.client.HTTPMessage
    body: http.client.HTTPResponse


class RemoteEntry(NamedTuple):
    """One entry of a remote folder, with a name that is fit for a folder here."""

    name: str
    is_folder: bool
    is_link: bool
    size_bytes: int
    modified_wall: float


class _Connection(http.client.HTTPConnection):
    """Makes its connections by a function."""

    def __init__(self, make: Callable[[], socket.socket]) -> None:
        super().__init__("p2p")
        self._make = make

    def connect(self) -> None:
        """See ``http.client.HTTPConnection``."""
        self.sock = self._make()


class FileClient:
    """One connection to a file service at a time, made anew when it has ended.

    Concurrency: one thread; ``close`` may be called by another one and ends what waits.

    Args:
        make: Makes a connection: a blocking socket.
    """

    def __init__(self, make: Callable[[], socket.socket]) -> None:
        self._make = make
        self._is_closed = threading.Event()
        self._socket: socket.socket | None = None
        self._http = _Connection(self._connected)

    def _connected(self) -> socket.socket:
        if self._is_closed.is_set():
            raise ConnectionAbortedError("closed")
        sock = self._socket = self._make()
        if self._is_closed.is_set():
            sock.close()
            raise ConnectionAbortedError("closed")
        return sock

    def close(self) -> None:
        """Give up what is under way. A second call does nothing."""
        self._is_closed.set()
        if (sock := self._socket) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Close the connection; the next request makes another one."""
        self._http.close()
        if self._socket is not None:
            self._socket.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        length: int = 0,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        """Send a request and read the beginning of the answer.

        Args:
            method: The method.
            url: Path and query, quoted.
            body: The content, in pieces or whole.
            length: How long it is, if in pieces.
            headers: Further header fields.
            accept: Statuses beyond 200 to 299 that are no failure.

        Raises:
            ForwardError: The service refused, or the connection ended.
        """
        fields = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            fields["Content-Length"] = str(length)
        is_fresh = self._http.sock is None
        try:
            try:
                self._http.request(method, url, body, fields)
            except (BrokenPipeError, ConnectionResetError):
                # It may have said why before it stopped to listen.
                with suppress(AttributeError):
                    self._http.sock.shutdown(socket.SHUT_WR)
            response = self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.forget()
            if not is_fresh and (body is None or isinstance(body, bytes)) and not self._is_closed.is_set():
                # The other side has closed a connection that nobody used for a while.
                return self.request(method, url, body=body, headers=headers, accept=accept)
            raise ForwardError(f"the connection to the files ended: {error}", code=CODE_FAILED) from error
        if response.status >= 300 and response.status not in accept:
            raise self._failure(response, url)
        return Reply(response.status, response.headers, response)

    def ask(self, method: str, url: str, **arguments: Any) -> Reply:
        """The same, for answers whose body does not matter."""
        reply = self.request(method, url, **arguments)
        self.read(reply, _LISTING_MAX_BYTES)
        return reply

    def read(self, reply: Reply, limit: int) -> bytes:
        """Read an answer's body to its end.

        Args:
            reply: The answer.
            limit: How many bytes it may have.

        Raises:
            ForwardError: It has more, or the connection ended.
        """
        try:
            data = reply.body.read(limit + 1)
        except (OSError, http.client.HTTPException) as error:
            self.forget()
            raise ForwardError(f"the connection to the files ended: {error}", code=CODE_FAILED) from error
        if len(data) > limit:
            self.forget()
            raise ForwardError("the other side says more than it should", code=CODE_FAILED)
        return data

    def read_piece(self, reply: Reply, limit: int) -> bytes:
        """Read some more of an answer's body.

        Args:
            reply: The answer, of which something must be left.
            limit: How much at most.

        Raises:
            ForwardError: The connection ended.
        """
        try:
            data = reply.body.read(limit)
        except (OSError, http.client.HTTPException) as error:
            self.forget()
            raise ForwardError(f"the connection to the files ended: {error}", code=CODE_FAILED) from error
        if not data:
            self.forget()
            raise ForwardError("the connection to the files ended", code=CODE_FAILED)
        return data

    def entries(self, names: Sequence[str]) -> tuple[list[RemoteEntry], int]:
        """List a folder.

        Args:
            names: The way to it.

        Returns:
            What is in it, and how much of it is hidden.

        Raises:
            ForwardError: It cannot be listed, or a name in it is not fit for a folder here.
        """
        reply = self.request("GET", url_of(names, is_folder=True), headers={"Accept": "application/json"})
        try:
            return read_listing_untrusted(self.read(reply, _LISTING_MAX_BYTES))
        except DecodeError as error:
            raise ForwardError(f"the other side sent {error.detail}", code=CODE_FAILED) from error

    def _failure(self, response: http.client.HTTPResponse, url: str) -> ForwardError:
        code, text = _ERRORS.get(response.status, (CODE_FAILED, f"the other side answered {response.status}"))
        said = ""
        if response.headers.get_content_type() == "text/plain":
            with suppress(OSError, http.client.HTTPException):
                said = response.read(_TEXT_MAX_CHARACTERS).decode("utf-8", "replace")
        self.forget()
        return ForwardError(f"{url.partition('?')[0]}: {said or text}", code=code)


def number_in(reply: Reply, field: str) -> int:
    """Read a number from an answer's header.

    Raises:
        ForwardError: There is none.
    """
    text = reply.headers.get(field, "")
    if not (text.isascii() and text.isdigit()):
        raise ForwardError(f"the other side says nothing of {field}", code=CODE_FAILED)
    return int(text)


def url_of(names: Sequence[str], *, is_folder: bool = False, part: str = "") -> str:
    """Write the address of a file or folder.

    Args:
        names: The way to it.
        is_folder: Whether it is one.
        part: The key of a part.
    """
    path = "".join(f"/{quote(os.fsencode(name), safe='')}" for name in names)
    return f"{path}{'/' if is_folder or not path else ''}{f'?part={part}' if part else ''}"


def read_listing_untrusted(data: bytes) -> tuple[list[RemoteEntry], int]:
    """Read the list of a folder.

    Args:
        data: JSON, as ``p2p.services.page.listing_json`` makes it.

    Returns:
        The entries, and how many are hidden.

    Raises:
        DecodeError: It is no such list, or a name in it leads elsewhere.
    """
    try:
        listing = json.loads(data)
        entries = [
            RemoteEntry(
                _name_untrusted(entry["href"]),
                bool(entry["folder"]),
                bool(entry["link"]),
                int(entry["size"]),
                float(entry["modified"]),
            )
            for entry in listing["entries"]
        ]
        return entries, int(listing["hidden"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DecodeError("a list of files that makes no sense") from error


def _name_untrusted(text: object) -> str:
    if not isinstance(text, str) or not text.startswith("./"):
        raise ValueError("no address of an entry")
    (name,) = names_untrusted(text[2:])
    if name.startswith(PART_PREFIX):
        raise ValueError("no name of an entry")
    return name
