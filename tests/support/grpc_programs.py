"""A server and a client of gRPC, each a process of its own: the library's threads and sockets stay out of the tests'.

python -m tests.support.grpc_programs serve              prints its port, and serves until its input ends
python -m tests.support.grpc_programs WHAT ADDRESS CA    asks blog.gw.test at the address, and prints the answer as JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from threading import Semaphore
from typing import Any, Final

import grpc


def _echo(message: bytes, context: Any) -> bytes:
    seen = dict(context.invocation_metadata())
    context.send_initial_metadata((("who", seen["x-forwarded-for"]),))
    context.set_trailing_metadata((("size", str(len(message))), ("asked", seen["asked"])))
    return message


def _refuse(message: bytes, context: Any) -> bytes:
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")
    raise AssertionError


def _talk(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
    for message in messages:
        yield b"heard " + message


def _count(message: bytes, context: Any) -> Iterator[bytes]:
    yield from repeat(bytes(10_000), int(message))


def serve() -> None:
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo),
        "Refuse": grpc.unary_unary_rpc_method_handler(_refuse),
        "Talk": grpc.stream_stream_rpc_method_handler(_talk),
        "Count": grpc.unary_stream_rpc_method_handler(_count),
    }
    server = grpc.server(ThreadPoolExecutor(200))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()


def ask_echo(channel: grpc.Channel) -> dict[str, Any]:
    answer, call = channel.unary_unary("/test.Test/Echo").with_call(bytes(1 << 20), metadata=(("asked", "yes"),))
    return {
        "size": len(answer),
        "head": dict(call.initial_metadata())["who"],
        "trailers": {name: str(value) for name, value in call.trailing_metadata()},
    }


def ask_errors(channel: grpc.Channel) -> list[tuple[str, str]]:
    found = []
    for name in ("Refuse", "Nothing"):
        try:
            channel.unary_unary(f"/test.Test/{name}")(b"")
        except grpc.RpcError as error:
            found.append((error.code().name, error.details()))
    return found


def ask_talk(channel: grpc.Channel) -> list[str]:
    """Each message waits for the answer to the one before."""
    heard: list[str] = []
    turn = Semaphore()

    def say() -> Iterator[bytes]:
        for number in range(20):
            assert turn.acquire(timeout=20)
            yield b"%d" % number

    for answer in channel.stream_stream("/test.Test/Talk")(say(), timeout=20):
        heard.append(answer.decode())
        turn.release()
    return heard


def ask_many(channel: grpc.Channel) -> int:
    count = channel.unary_stream("/test.Test/Count")
    with ThreadPoolExecutor(150) as pool:
        return sum(pool.map(lambda _: sum(map(len, count(b"20"))), range(150)))


def ask_cancel(channel: grpc.Channel) -> str:
    call = channel.unary_stream("/test.Test/Count")(b"100000")
    next(iter(call))
    call.cancel()
    ask_echo(channel)
    return str(call.code().name)


QUESTIONS: Final[dict[str, Callable[[grpc.Channel], Any]]] = {
    "echo": ask_echo,
    "errors": ask_errors,
    "talk": ask_talk,
    "many": ask_many,
    "cancel": ask_cancel,
}


def ask(what: str, address: str, authority: str) -> None:
    credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
    options = [(f"grpc.{name}", "blog.gw.test") for name in ("ssl_target_name_override", "default_authority")]
    with grpc.secure_channel(address, credentials, options=[*options, ("grpc.enable_http_proxy", 0)]) as channel:
        print(json.dumps(QUESTIONS[what](channel)))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else ask(*sys.argv[1:])
