"""curl as a visitor."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE
from urllib.parse import urlsplit

import pytest

from p2p.address import TransportAddress


async def curl(address: TransportAddress, url: str, *flags: str, fails: bool = False) -> str:
    """Ask for a URL whose host is at an address, whatever DNS says.

    Args:
        address: Where the host is.
        url: With the port of the address.
        *flags: Of curl.
        fails: Whether it must fail; then what it complains of is returned.
    """
    if (program := shutil.which("curl")) is None:
        pytest.skip("curl is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *("--silent", "--show-error", "--max-time", "20", "--noproxy", "*"),
        *("--resolve", f"{urlsplit(url).hostname}:{address.port}:{address.host}", *flags, url),
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode != 0) is fails, err.decode()
    return err.decode() if fails else out.decode()
