"""What a visitor is told when a request does not reach the exposed service."""

from __future__ import annotations

import html
from typing import Final, NamedTuple


class Problem(NamedTuple):
    """Why a request is not answered by the service.

    Attributes:
        status: Of the response.
        code: Its stable name, for the visitor to tell and for metrics.
        title: In a few words.
        advice: What the visitor can do.
    """

    status: int
    code: str
    title: str
    advice: str


NO_SERVICE: Final = Problem(
    404, "no_service", "Nothing is published here", "Check the address, or ask whoever gave it to you."
)
OFFLINE: Final = Problem(
    503, "offline", "The service is offline", "Its owner's machine is not connected at the moment. Try again later."
)
UPSTREAM: Final = Problem(
    502, "upstream", "The service does not answer", "The machine is connected, but the program on it is not running."
)
TIMEOUT: Final = Problem(504, "timeout", "The service is too slow", "It did not answer in time. Try again later.")
ADDRESS: Final = Problem(
    403, "address", "Not from here", "The owner of this service does not let visitors of your network in."
)
CREDENTIALS: Final = Problem(401, "credentials", "Who are you?", "Log in with what the owner of this service gave you.")
CERTIFICATE: Final = Problem(
    403,
    "certificate",
    "No certificate",
    "Come with HTTPS to the gateway itself, and show your certificate.",
)
LOGIN: Final = Problem(
    403, "login", "Not let in", "Log in again, or ask the owner of this service whether you may come with this account."
)
MISDIRECTED: Final = Problem(
    421, "misdirected", "On another connection, please", "This connection was made for another name; make a new one."
)
UNSIGNED: Final = Problem(
    403, "signature", "Not signed", "Requests here need a signature that is right, of somebody the owner expects."
)
BUSY: Final = Problem(503, "busy", "Too much at once", "Try again in a moment.")
TOO_SLOW: Final = Problem(408, "slow", "Too slow", "The request did not come to its end in time.")
TOO_MANY: Final = Problem(429, "rate", "Too fast", "You ask more often than the owner of this service allows.")
TOO_LARGE: Final = Problem(413, "size", "Too large", "The owner of this service takes no requests of this size.")
HEADERS_TOO_LARGE: Final = Problem(
    431, "headers", "Too many headers", "The owner of this service takes no headers of this size. Delete its cookies."
)
BAD_REQUEST: Final = Problem(400, "request", "Not understood", "The request is not valid HTTP, or names no host.")

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {title}</title>
<style>
body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto 0; padding: 0 1rem;
       color: #1c2430; background: #fbfbfa }}
code {{ color: #5d6b80 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e9ee; background: #15191f }} }}
</style>
<h1>{title}</h1>
<p>{advice}</p>
<p><code>{status} {code} {host}</code></p>
</html>
"""


def as_page(problem: Problem, host: str) -> str:
    """Write a problem for a browser.

    Args:
        problem: What is wrong.
        host: What the visitor asked for; any text.
    """
    return _PAGE.format(**problem._asdict(), host=html.escape(host[:253]))


def as_text(problem: Problem) -> str:
    """Write a problem for a program."""
    return f"{problem.status} {problem.code}: {problem.title}. {problem.advice}\n"
