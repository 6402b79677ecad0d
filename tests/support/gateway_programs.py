"""A gateway, publishers and a rendezvous, each a program of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.commands import SERVE, Command


class Programs:
    """A rendezvous, a gateway and publishers, each in a process of its own, and a visitor."""

    def __init__(self, folder: Path, stack: AsyncExitStack, visitor: aiohttp.ClientSession, gateways: int) -> None:
        self.seen: Counter[int] = Counter()
        self._folder = folder
        self._stack = stack
        self._visitor = visitor
        self.serve = self._start("serve", *SERVE)
        # It would wait for what the killed have left on its relay.
        stack.callback(self.serve.kill)
        self._url = self.serve.wait_for("serving")["rendezvous"]
        at = ("--domain", "gw.test", "--http", "127.0.0.1:0", "--balance", "round-robin")
        flags = (*at, "--rendezvous", self._url)
        # Short names: a socket of the gateway's is below.
        self.gateways = [self._start(f"g{number}", "gateway", *flags) for number in range(gateways)]
        ready = [gateway.wait_for("gateway_ready") for gateway in self.gateways]
        self._tickets = [told["ticket"] for told in ready]
        self.urls = [f"http://{told['listeners'][0].split()[1]}" for told in ready]

    def expose(self, user: str, port: int, *flags: str) -> Command:
        """Publish a site; a user has one key."""
        gateways = [word for ticket in self._tickets for word in ("--gateway", ticket)]
        public = ("--public", *gateways, "--name", "blog", "--group", "ours", *flags)
        command = self._start(user, "expose", str(port), "--rendezvous", self._url, *public)
        command.wait_for("public")
        return command

    async def open_websocket(self) -> str:
        """Open a WebSocket as a visitor, and hear who answers."""
        async with self._visitor.ws_connect(f"{self.urls[0]}/ws", headers={"Host": "blog.gw.test"}) as socket:
            return await socket.receive_str()

    async def get(self) -> str:
        """Ask as a visitor."""
        async with self._visitor.get(f"{self.urls[0]}/", headers={"Host": "blog.gw.test"}) as response:
            self.seen[response.status] += 1
            return await response.text()

    def _start(self, user: str, *arguments: str) -> Command:
        (self._folder / user).mkdir(exist_ok=True)
        return self._stack.enter_context(Command(self._folder / user, arguments))


@asynccontextmanager
async def programs(folder: Path, gateways: int = 1) -> AsyncIterator[Programs]:
    """Run them for the block."""
    async with aiohttp.ClientSession() as visitor, AsyncExitStack() as stack:
        yield Programs(folder, stack, visitor, gateways)
