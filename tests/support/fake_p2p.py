"""A stand-in for the ``p2p`` command, to test what drives it: a plain TCP relay that prints the same JSON lines.

``--fake`` says what the dialer is to claim or to do wrong: ``direct``, ``relay:CODE``, ``silent`` (never tells the
final path), ``corrupt`` (changes a byte on the way) or ``refuse`` (ends with an error). Only the standard library,
because the lab's own Python runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Filter = Callable[[bytes], bytes]


class Fake:
    """What the three commands have in common."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.started_at = time.monotonic()

    def tell(self, event: str, **values: object) -> None:
        print(json.dumps({"event": event, "t": time.monotonic() - self.started_at, **values}), flush=True)

    async def reach(self, line: str) -> Streams:
        url = urlsplit(self.arguments.rendezvous)
        reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
        writer.write(f"{line}\n".encode())
        return reader, writer


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Filter = bytes) -> None:
    while data := await reader.read(1 << 16):
        writer.write(change(data))
        await writer.drain()
    writer.write_eof()


async def splice(one: Streams, other: Streams, change: Filter = bytes) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(one[0], other[1]))
            group.create_task(pump(other[0], one[1], change))
    except* OSError:
        pass
    finally:
        one[1].close()
        other[1].close()


async def serve(fake: Fake) -> None:
    """Pair each dialer's connection with one that the exposer makes when it is told to."""
    config = tomllib.loads(Path(fake.arguments.config).read_text())["serve"]
    exposer: list[Streams] = []
    waiting: dict[str, asyncio.Future[Streams]] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        role, _, name = (await reader.readline()).decode().strip().partition(" ")
        if role == "expose":
            exposer[:] = [(reader, writer)]
        elif role == "answer":
            waiting[name].set_result((reader, writer))
        elif role == "dial":
            number = str(len(waiting))
            waiting[number] = asyncio.get_running_loop().create_future()
            exposer[0][1].write(f"{number}\n".encode())
            await splice((reader, writer), await waiting[number])
        else:
            writer.close()

    server = await asyncio.start_server(handle, config["listen"][0], config["http_port"])
    await server.serve_forever()


async def expose(fake: Fake) -> None:
    reader, writer = await fake.reach("expose")
    fake.tell("ready", ticket="fake-ticket", rendezvous=fake.arguments.rendezvous)
    async with asyncio.TaskGroup() as group:
        while number := (await reader.readline()).decode().strip():
            near = await asyncio.open_connection("127.0.0.1", int(fake.arguments.target))
            far = await fake.reach(f"answer {number}")
            group.create_task(splice(near, far))
    writer.close()


def corrupt(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if len(data) > 1000 else data


async def connect(fake: Fake) -> None:
    behaviour, _, reason = fake.arguments.fake.partition(":")
    fake.arguments.rendezvous = "http://198.51.100.10"
    if behaviour == "refuse":
        fake.tell("error", code="P2P-0001", detail="no such ticket", hint="")
        sys.exit(1)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await splice((reader, writer), await fake.reach("dial"), corrupt if behaviour == "corrupt" else bytes)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fake.tell("listening", address=f"127.0.0.1:{port}")
    fake.tell("connected", session="1", peer="fake", path="relay", transport="tcp")
    await asyncio.sleep(0.1)
    if behaviour == "relay":
        fake.tell("relayed", session="1", reason={"code": reason, "text": "because"})
    elif behaviour != "silent":
        fake.tell("path", session="1", path="direct", transport="udp", address="192.0.2.1:1", rtt_ms=80.0)
    await server.serve_forever()


COMMANDS: dict[str, Callable[[Fake], Awaitable[None]]] = {"serve": serve, "expose": expose, "connect": connect}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rendezvous")
    parser.add_argument("--config")
    parser.add_argument("--listen")
    parser.add_argument("--fake", default="direct")
    fake = Fake(parser.parse_args())

    async def run() -> None:
        await COMMANDS[fake.arguments.command](fake)

    asyncio.run(run())


if __name__ == "__main__":
    main()
