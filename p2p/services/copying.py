"""Copies files to and from a file service: what is there is skipped, what was broken off is gone on with.

A file is a part until its SHA-256 is right on the receiving side, which is ``p2p.services.inbox`` in both directions.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, Final

from p2p import defaults
from p2p.errors import ErrorCode, ForwardError
from p2p.os_errors import reason_of
from p2p.services import digest as digests
from p2p.services.copy_plan import Item
from p2p.services.file_client import CODE_CHANGED, CODE_FAILED, CODE_TAKEN, FileClient, Reply, number_in, url_of
from p2p.services.inbox import Arrival, Inbox, WrongDigestError
from p2p.services.uploads import COMPLETE, COMPLETE_FIELD, OFFSET_FIELD, TAKEN_FIELD

CODE_LOCAL: Final = ErrorCode("P2P-6417", "Check the file or folder that is named, its permissions, and the room left.")

_SAME_TIME_S: Final = 0.01
"""Times that lie no further apart are the same: a list has milliseconds."""
_STATUS_SAME: Final = 200


class Progress:
    """How far a copy is. Threads count, anybody may look."""

    def __init__(self) -> None:
        self.files_total = 0
        self.files_done = 0
        """Copied, or found to be there."""
        self.files_same = 0
        """Of those, the ones that were there."""
        self.bytes_total = 0
        self.bytes_done = 0
        """Of the whole, those of files that were there included."""
        self.bytes_copied = 0
        """What went over the session now."""
        self.left_out = 0
        """Hidden names, links and devices, which are not copied."""
        self._lock = threading.Lock()

    def add(self, items: Sequence[Item]) -> None:
        """Count files to copy."""
        with self._lock:
            self.files_total += len(items)
            self.bytes_total += sum(item.size_bytes for item in items)

    def moved(self, size_bytes: int) -> None:
        """Count bytes that went over the session."""
        with self._lock:
            self.bytes_copied += size_bytes
            self.bytes_done += size_bytes

    def skipped(self, size_bytes: int) -> None:
        """Count bytes that were there."""
        with self._lock:
            self.bytes_done += size_bytes

    def finished(self, *, same: bool) -> None:
        """Count a file that is there now."""
        with self._lock:
            self.files_done += 1
            self.files_same += same


class Copier:
    """Copies single files with one client.

    Concurrency: one thread each.

    Args:
        client: Asks the service.
        progress: Is told how far it is.
        key_of: Makes a part's key of a text, so that nobody else could.
    """

    def __init__(self, client: FileClient, progress: Progress, key_of: Callable[[str], str]) -> None:
        self._client = client
        self._progress = progress
        self._key_of = key_of

    # --- to the other side -------------------------------------------------------------------------------------

    def upload(self, root: Path, item: Item) -> None:
        """Send a file.

        Args:
            root: The local folder.
            item: The file.

        Raises:
            ForwardError: It cannot be read, or the other side does not take it.
        """
        try:
            with open(os.path.join(root, *item.here), "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_size <= defaults.FILES_SMALL_BYTES:
                    same = self._upload_whole(item, file.read(), found.st_mtime)
                else:
                    same = self._upload_in_parts(item, file, found)
        except OSError as error:
            raise _local(item, error) from error
        self._progress.finished(same=same)

    def _upload_whole(self, item: Item, data: bytes, modified_wall: float) -> bool:
        headers = _last_headers(hashlib.sha256(data).digest(), modified_wall)
        reply = self._client.ask("PUT", url_of(item.there), body=data, headers=headers)
        self._progress.moved(len(data))
        return reply.status == _STATUS_SAME

    def _upload_in_parts(self, item: Item, file: BinaryIO, found: os.stat_result) -> bool:
        key = self._key_of(f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {item.there}")
        url = url_of(item.there, part=key)
        reply = self._client.ask("HEAD", url)
        offset = number_in(reply, OFFSET_FIELD)
        if offset > found.st_size:
            raise ForwardError(f"{item.there[-1]}: the other side has more of it than there is", code=CODE_CHANGED)
        is_taken = TAKEN_FIELD in reply.headers
        sha256 = hashlib.sha256()
        skip = found.st_size if is_taken else offset
        for piece in _pieces(file, skip):
            sha256.update(piece)
        self._progress.skipped(skip)
        if skip < found.st_size:

            def body() -> Iterator[bytes]:
                for piece in _pieces(file, found.st_size - offset):
                    sha256.update(piece)
                    yield piece
                    self._progress.moved(len(piece))

            left = found.st_size - offset
            headers = {OFFSET_FIELD: str(offset)}
            reply = self._client.ask("PATCH", url, body=body(), length=left, headers=headers)
            offset = number_in(reply, OFFSET_FIELD)
        headers = {OFFSET_FIELD: str(offset), COMPLETE_FIELD: COMPLETE}
        headers |= _last_headers(sha256.digest(), found.st_mtime)
        return self._client.ask("PATCH", url, body=b"", headers=headers).status == _STATUS_SAME

    # --- from the other side -----------------------------------------------------------------------------------

    def download(self, inbox: Inbox, item: Item) -> None:
        """Fetch a file.

        Args:
            inbox: The local folder.
            item: The file.

        Raises:
            ForwardError: It cannot be written, or the other side does not give it.
        """
        try:
            if _is_same(inbox, item):
                self._progress.skipped(item.size_bytes)
                self._progress.finished(same=True)
                return
            if item.size_bytes <= defaults.FILES_SMALL_BYTES:
                arrival = self._download_whole(inbox, item)
            else:
                arrival = self._download_in_parts(inbox, item)
        except WrongDigestError as error:
            raise ForwardError(f"{item.there[-1]}: what arrived is not what was sent", code=CODE_CHANGED) from error
        except FileExistsError as error:
            raise ForwardError(f"{'/'.join(item.here)}: another file has that name", code=CODE_TAKEN) from error
        except OSError as error:
            raise _local(item, error) from error
        self._progress.finished(same=arrival is Arrival.SAME)

    def _download_whole(self, inbox: Inbox, item: Item) -> Arrival:
        headers = {digests.WANTED_FIELD: digests.WANTED}
        reply = self._client.request("GET", url_of(item.there), headers=headers)
        data = self._client.read(reply, defaults.FILES_SMALL_BYTES)
        self._progress.moved(len(data))
        key = os.urandom(16).hex()
        inbox.check(item.here)
        inbox.write(key, 0, data)
        try:
            return inbox.finish(key, item.here, _digest(reply), item.modified_wall)
        finally:
            inbox.drop(key)

    def _download_in_parts(self, inbox: Inbox, item: Item) -> Arrival:
        url = url_of(item.there)
        about = self._client.ask("HEAD", url)
        size_bytes, tag = number_in(about, "Content-Length"), about.headers.get("ETag", "")
        key = self._key_of(f"{inbox.root} {item.here} {item.there} {size_bytes} {tag}")
        inbox.check(item.here)
        offset = inbox.offset(key)
        self._progress.skipped(offset)
        if offset < size_bytes:
            headers = {"Range": f"bytes={offset}-", "If-Match": tag}
            reply = self._client.request("GET", url, headers=headers)
            if reply.headers.get("Content-Range") != f"bytes {offset}-{size_bytes - 1}/{size_bytes}":
                self._client.forget()
                raise ForwardError(f"{item.there[-1]}: the file has changed meanwhile", code=CODE_CHANGED)
            for piece in self._pieces_of(reply, size_bytes - offset):
                inbox.write(key, offset, piece)
                offset += len(piece)
                self._progress.moved(len(piece))
        # Asked for at last, so that the other side reads a file a second time only when it has come.
        headers = {digests.WANTED_FIELD: digests.WANTED, "If-Match": tag}
        return inbox.finish(key, item.here, _digest(self._client.ask("HEAD", url, headers=headers)), item.modified_wall)

    def _pieces_of(self, reply: Reply, left: int) -> Iterator[bytes]:
        while left:
            piece = self._client.read_piece(reply, min(left, defaults.FILES_WRITE_BYTES))
            left -= len(piece)
            yield piece


def _pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left:
        piece = file.read(min(left, defaults.FILES_WRITE_BYTES))
        if not piece:
            raise OSError("the file has become shorter meanwhile")
        left -= len(piece)
        yield piece


def _last_headers(digest: bytes, modified_wall: float) -> dict[str, str]:
    return {digests.FIELD: digests.format_digest(digest), "Last-Modified": formatdate(modified_wall, usegmt=True)}


def _is_same(inbox: Inbox, item: Item) -> bool:
    try:
        found = os.stat(os.path.join(inbox.root, *item.here), follow_symlinks=False)
    except OSError:
        return False
    is_same_time = abs(found.st_mtime - item.modified_wall) <= _SAME_TIME_S
    return stat.S_ISREG(found.st_mode) and found.st_size == item.size_bytes and is_same_time


def _digest(reply: Reply) -> bytes:
    digest = digests.parse_digest_untrusted(reply.headers.get(digests.FIELD, ""))
    if digest is None:
        raise ForwardError("the other side tells no digest", code=CODE_FAILED)
    return digest


def _local(item: Item, error: OSError) -> ForwardError:
    return ForwardError(f"{os.path.join(*item.here)}: {reason_of(error)}", code=CODE_LOCAL)
