"""Labs for tests: built with a prefix of their own, always taken down, and nothing of them left behind.

Use it so::

    from tests.support.lab import LabFactory, lab_factory, routers

    pytestmark = pytest.mark.root


    def test_something(lab_factory: LabFactory) -> None:
        lab = lab_factory(routers(a="port", b="sym", delay_s=0.02))
        lab.run("a1", ["ip", "route"])
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from natlab.lab import Lab
from natlab.namespaces import NAMESPACE_FOLDER
from natlab.shapes import LinkShape
from natlab.state import known_labs
from natlab.topology import Router, Topology

LAB_COMMAND = Path(__file__).resolve().parents[2] / "netns-scripts" / "lab"

LabFactory = Callable[[Topology], Lab]

_numbers = itertools.count()


def unique_prefix() -> str:
    """A prefix that no other test, and no other process, uses."""
    return f"t{os.getpid()}x{next(_numbers)}"


def routers(*, hosts: int = 1, delay_s: float = 0.0, ipv6: bool = False, **kinds: str) -> Topology:
    """A topology of routers side by side.

    Args:
        hosts: Hosts of each.
        delay_s: One-way delay of each uplink, in seconds.
        ipv6: Whether there is IPv6: a firewalled network that every pair of hosts can punch through.
        kinds: The kind of each router by its name.
    """
    link = LinkShape(delay_s=delay_s)
    return Topology(
        name="test",
        ipv6=ipv6,
        routers=tuple(Router(name=name, kind=kind, hosts=hosts, link=link) for name, kind in kinds.items()),
    )


@pytest.fixture
def lab_factory() -> Iterator[LabFactory]:
    """Builds labs, takes them down when the test is over, and fails it when something of them is left."""
    labs: list[Lab] = []

    def build(topology: Topology) -> Lab:
        lab = Lab.up(topology, prefix=unique_prefix())
        labs.append(lab)
        return lab

    yield build
    for lab in labs:
        lab.down()
    prefixes = tuple(f"{lab.prefix}-" for lab in labs)
    left = [entry.name for entry in NAMESPACE_FOLDER.iterdir() if entry.name.startswith(prefixes)] if prefixes else []
    left += [lab.prefix for lab in labs if lab.prefix in set(known_labs())]
    assert not left, f"left behind by a lab: {left}"
