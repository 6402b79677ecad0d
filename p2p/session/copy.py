"""What ``p2p cp`` does: a session, some connections to the file service on the other side, and threads that copy."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from p2p import defaults
from p2p.aio.pair import stream_pair
from p2p.errors import ErrorCode, ForwardError, P2PError, error_in
from p2p.forward.connect import forward_socket
from p2p.identity import Identity
from p2p.os_errors import reason_of
from p2p.proto.tunnel.codes import StreamCode, stream_error
from p2p.services import FILES_SERVICE
from p2p.services.copy_plan import Item, local_items, remote_items
from p2p.services.copying import CODE_LOCAL, Copier, Progress
from p2p.services.file_client import CODE_FAILED, FileClient
from p2p.services.inbox import Inbox
from p2p.session.connector import Connector
from p2p.session.copy_plan import CopyPlan
from p2p.session.events import Event, Problem
from p2p.session.options import ConnectOptions, PeerOptions
from p2p.session.peer_session import PeerSession

CODE_NO_FILES: Final = ErrorCode(
    "P2P-6410", "Ask the exposing side to start `p2p expose` with a folder (./folder) to read, or with --inbox FOLDER."
)

_UNKNOWN_SERVICE: Final = stream_error(StreamCode.SERVICE_UNKNOWN).code
_KEY_BYTES: Final = 16


class CopyRun:
    """A copy that goes on until everything is there, over as many sessions as it takes.

    Args:
        plan: What to copy.
        options: Who we are and where we meet.
    """

    def __init__(self, plan: CopyPlan, options: PeerOptions) -> None:
        self.progress = Progress()
        """How far it is; it begins anew with each session."""
        self.failures: list[ForwardError] = []
        """Files that could not be copied, each with its reason."""
        self._plan = plan
        self._options = options
        self._identity = Identity.load_or_create(options.identity_path)

    async def run(self, on_problem: Callable[[P2PError], None]) -> None:
        """Copy.

        Args:
            on_problem: Told why a session was lost that is opened again.

        Raises:
            P2PError: It cannot be done, or the first of the files that could not be copied.
        """
        attempts = 0
        while True:
            try:
                await self._session()
                break
            except BaseExceptionGroup as group:
                error = error_in(group)
                if error is None or not error.retryable:
                    raise
                attempts = 1 if self.progress.bytes_copied else attempts + 1
                if attempts >= defaults.COPY_ATTEMPTS or self.failures:
                    raise
                on_problem(error)
                self.progress = Progress()
                await asyncio.sleep(defaults.DIAL_BACKOFF_MIN_S * 2**attempts)
        if self.failures:
            raise self.failures[0]

    async def _session(self) -> None:
        problems: list[P2PError] = []

        def told(event: Event) -> None:
            if isinstance(event, Problem):
                problems.append(event.error)

        async with Connector(ConnectOptions(ticket=self._plan.ticket), self._options, on_event=told) as connector:
            session = await connector.open_session(self._options.timeout_s)
            work = _Work(self, self._plan, session)
            try:
                await work.run()
            except ForwardError as error:
                if any(problem.code == _UNKNOWN_SERVICE for problem in problems):
                    raise ForwardError("the exposing side has no files to copy", code=CODE_NO_FILES) from error
                raise session.error or error from error
            await session.multiplexer.drain(self._options.timeout_s)

    def key_of(self, text: str) -> str:
        """Make the key of a part: the same at every run, and known to nobody else."""
        return self._identity.derive_secret(f"part {self._plan.ticket} {text}", _KEY_BYTES).hex()


class _Work:
    """The threads of one session."""

    def __init__(self, run: CopyRun, plan: CopyPlan, session: PeerSession) -> None:
        self._run = run
        self._plan = plan
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._clients: list[FileClient] = []
        self._items: queue.SimpleQueue[tuple[Path, Item]] = queue.SimpleQueue()
        self._is_over = False

    async def run(self) -> None:
        """Copy what is not there yet.

        Raises:
            ForwardError: The other side has no files, or the connection ended.
        """
        threads = concurrent.futures.ThreadPoolExecutor(defaults.COPY_FILES_AT_ONCE, "copy")
        work: list[asyncio.Future[None]] = []
        try:
            work.append(self._loop.run_in_executor(threads, self._list))
            await work[0]
            for _ in range(min(defaults.COPY_FILES_AT_ONCE, self._items.qsize())):
                work.append(self._loop.run_in_executor(threads, self._copy))
            await asyncio.gather(*work)
        finally:
            # Threads cannot be cancelled: they end when their connections do.
            self._is_over = True
            for client in self._clients:
                client.close()
            threads.shutdown(wait=False, cancel_futures=True)
            await asyncio.gather(*work, return_exceptions=True)

    @contextlib.contextmanager
    def _client(self) -> Iterator[FileClient]:
        client = FileClient(self._connect)
        self._clients.append(client)
        try:
            yield client
        finally:
            client.forget()

    def _connect(self) -> socket.socket:
        """Open a flow; called in a thread."""
        ours, theirs = stream_pair()
        opened: concurrent.futures.Future[None] = concurrent.futures.Future()

        def open_flow() -> None:
            try:
                forward_socket(self._session.multiplexer, theirs, FILES_SERVICE)
            except BaseException as error:
                theirs.close()
                opened.set_exception(error)
            else:
                opened.set_result(None)

        try:
            self._loop.call_soon_threadsafe(open_flow)
            opened.result()
        except BaseException:
            ours.close()
            raise
        ours.setblocking(True)
        return ours

    def _list(self) -> None:
        """Find out what there is to copy; in a thread."""
        plan, progress = self._plan, self._run.progress
        found: list[tuple[Path, Item]] = []
        if plan.upload:
            for path in plan.upload:
                there = (*plan.remote, path.resolve().name) if plan.is_remote_folder else plan.remote
                try:
                    root, items, left_out = local_items(path, there, hidden=plan.hidden)
                except OSError as error:
                    raise ForwardError(f"{error.filename}: {reason_of(error)}", code=CODE_LOCAL) from error
                progress.left_out += left_out
                found += ((root, item) for item in items)
        else:
            here = () if not plan.remote else (plan.remote[-1],)
            root = plan.local
            if here and not root.is_dir():
                # As cp does: what is no folder is the new name.
                root, here = root.absolute().parent, (root.name,)
            try:
                if not here:
                    root.mkdir(exist_ok=True)
                Inbox(root).drop_old()
            except OSError as error:
                raise ForwardError(f"{root}: {reason_of(error)}", code=CODE_LOCAL) from error
            with self._client() as client:
                items, progress.left_out = remote_items(client, plan.remote, here, hidden=plan.hidden)
            found += ((root, item) for item in items)
        progress.add([item for _, item in found])
        for entry in found:
            self._items.put(entry)

    def _copy(self) -> None:
        """Copy one file after the other; in a thread."""
        with self._client() as client:
            copier = Copier(client, self._run.progress, self._run.key_of)
            while not self._is_over:
                try:
                    root, item = self._items.get_nowait()
                except queue.Empty:
                    return
                try:
                    if self._plan.upload:
                        copier.upload(root, item)
                    else:
                        # Which hidden names are wanted was decided when the list was made.
                        copier.download(Inbox(root, hidden=True), item)
                except ForwardError as error:
                    if error.code == CODE_FAILED.code:
                        self._is_over = True
                        raise
                    self._run.failures.append(error)
