"""The kinds of router, what each does by RFC 4787, and the nft files that make it do so."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from .errors import LabError

RULES_FOLDER: Final = Path(__file__).resolve().parent.parent / "nat"

# The sequential allocators walk through this many ports before they start again: more than any test uses.
_SEQUENCE_FIRST_PORT: Final = 30000
_SEQUENCE_LENGTH: Final = 8000
# As many ports as some carriers give a customer (RFC 6888, section 2, REQ-4 asks for such a limit).
_NARROW_RANGE: Final = (40000, 41999)
# Sessions are numbered up to here before the numbers begin again; a cap that evicts has to be well below.
_SESSION_MARKS: Final = 4096
MAX_EVICTING_CAP: Final = 1024


class Dependence(enum.Enum):
    """On what a mapping or a filter depends (RFC 4787, sections 4.1 and 5); the value is the short form in tables."""

    ENDPOINT_INDEPENDENT = "EI"
    ADDRESS_DEPENDENT = "AD"
    ADDRESS_AND_PORT_DEPENDENT = "APD"


_EI: Final = Dependence.ENDPOINT_INDEPENDENT
_AD: Final = Dependence.ADDRESS_DEPENDENT
_APD: Final = Dependence.ADDRESS_AND_PORT_DEPENDENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of router.

    Attributes:
        name: What topologies call it.
        summary: What it is, in a few words.
        mapping: What the outside port depends on; None where no UDP gets out.
        filtering: What decides whether a packet from outside gets in; None where no UDP gets out.
        keeps_port: Whether the outside port is the inside one while nobody else has it.
        second_mapping: The mapping of a second inside host that uses a port another one already has.
        second_keeps_port: Whether that second host's outside port is its inside port too.
        step: Distance between the ports of one inside endpoint's successive mappings, where that is fixed.
        port_range: The first and the last outside port, where only some are used.
        keeps_parity: Whether an even port stays even and an odd one odd.
        translates: Whether inside hosts have private addresses.
        rules: The nft files in ``netns-scripts/nat`` that are loaded, in this order.
    """

    name: str
    summary: str
    mapping: Dependence | None
    filtering: Dependence | None
    keeps_port: bool = False
    second_mapping: Dependence | None = None
    second_keeps_port: bool = False
    step: int | None = None
    port_range: tuple[int, int] | None = None
    keeps_parity: bool = False
    translates: bool = True
    rules: tuple[str, ...]


def _independent(name: str, summary: str, filtering: Dependence, *, keeps_port: bool) -> Kind:
    return Kind(
        name=name,
        summary=summary,
        mapping=_EI,
        filtering=filtering,
        keeps_port=keeps_port,
        second_mapping=_EI,
        rules=("firewall.nft", f"{name}.nft"),
    )


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            name="open",
            summary="public addresses, no firewall",
            mapping=_EI,
            filtering=_EI,
            keeps_port=True,
            second_mapping=_EI,
            second_keeps_port=True,
            translates=False,
            rules=(),
        ),
        Kind(
            name="fw",
            summary="public addresses, stateful firewall",
            mapping=_EI,
            filtering=_APD,
            keeps_port=True,
            second_mapping=_EI,
            second_keeps_port=True,
            translates=False,
            rules=("firewall.nft",),
        ),
        _independent("full", "anybody may answer", _EI, keeps_port=True),
        _independent("addr", "addresses we sent to may answer", _AD, keeps_port=True),
        _independent("port", "only the very endpoints we sent to may answer", _APD, keeps_port=True),
        _independent("full-np", "as full, outside port differs", _EI, keeps_port=False),
        _independent("addr-np", "as addr, outside port differs", _AD, keeps_port=False),
        _independent("port-np", "as port, outside port differs", _APD, keeps_port=False),
        Kind(
            name="linux",
            summary="stock masquerade; a second host on one port loses endpoint independence",
            mapping=_EI,
            filtering=_APD,
            keeps_port=True,
            second_mapping=_APD,
            rules=("firewall.nft", "linux.nft"),
        ),
        Kind(
            name="adm",
            summary="one mapping for each destination address",
            mapping=_AD,
            filtering=_APD,
            second_mapping=_AD,
            rules=("firewall.nft", "adm.nft"),
        ),
        Kind(
            name="pool",
            summary="several outside addresses, another one for another destination, port kept",
            mapping=_AD,
            filtering=_APD,
            keeps_port=True,
            second_mapping=_APD,
            rules=("firewall.nft", "pool.nft"),
        ),
        Kind(
            name="pool-paired",
            summary="several outside addresses, each inside host has one of them, port kept",
            mapping=_EI,
            filtering=_APD,
            keeps_port=True,
            second_mapping=_EI,
            second_keeps_port=True,
            rules=("firewall.nft", "pool-paired.nft"),
        ),
        Kind(
            name="sym",
            summary="one mapping for each destination endpoint, ports at random",
            mapping=_APD,
            filtering=_APD,
            second_mapping=_APD,
            rules=("firewall.nft", "sym.nft"),
        ),
        Kind(
            name="symrange",
            summary="as sym, out of 2000 ports",
            mapping=_APD,
            filtering=_APD,
            second_mapping=_APD,
            port_range=_NARROW_RANGE,
            rules=("firewall.nft", "symrange.nft"),
        ),
        Kind(
            name="symseq",
            summary="one mapping for each destination endpoint, ports one after the other",
            mapping=_APD,
            filtering=_APD,
            second_mapping=_APD,
            step=1,
            rules=("firewall.nft", "symseq.nft"),
        ),
        Kind(
            name="symseq2",
            summary="as symseq, every other port: even ports stay even",
            mapping=_APD,
            filtering=_APD,
            second_mapping=_APD,
            step=2,
            keeps_parity=True,
            rules=("firewall.nft", "symseq2.nft"),
        ),
        Kind(
            name="udpblock",
            summary="no UDP; TCP to ports 80 and 443 only",
            mapping=None,
            filtering=None,
            rules=("udpblock.nft", "linux.nft"),
        ),
    )
}


def kind_named(name: str) -> Kind:
    """Find a kind.

    Raises:
        LabError: There is no kind of that name.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise LabError(f"there is no kind of router named {name!r}", f"Known kinds: {', '.join(KINDS)}.") from None


def _sequence(step: int, start: int = 0) -> str:
    """Write an nft map's elements: counter to port."""
    numbers = range(start, _SEQUENCE_LENGTH, step)
    return ", ".join(f"{n} : {_SEQUENCE_FIRST_PORT + offset}" for n, offset in enumerate(numbers))


def ruleset(
    kind: Kind,
    *,
    wan_address: str,
    pool: Sequence[str],
    servers: Sequence[str],
    lifetime_s: int,
    wan_input: str,
    session_cap: int,
    evicts: bool = False,
) -> str:
    """Fill in the nft files of a kind.

    Args:
        kind: What the router does.
        wan_address: The router's outside IPv4 address.
        pool: Its four other outside addresses.
        servers: The server's two addresses.
        lifetime_s: How long a mapping lives without traffic, in seconds.
        wan_input: What unsolicited packets to the router itself meet: ``drop``, ``reject`` or ``accept``.
        session_cap: Most UDP sessions at a time, or 0 for no limit.
        evicts: Whether a session beyond the cap takes the place of the oldest one; otherwise it is dropped.

    Returns:
        Text for ``nft -f``.
    """
    files = (*kind.rules, "session-evict.nft" if evicts else "session-cap.nft") if session_cap else kind.rules
    values = {
        "wan": wan_address,
        "server_pool": ", ".join(f"{server} : {address}" for server, address in zip(servers, pool[:2], strict=True)),
        "peer_pool": ", ".join(f"{n} : {address}" for n, address in enumerate(pool[2:])),
        "paired": ", ".join(f"0.0.0.{n} : {address}" for n, address in enumerate(pool)),
        "lifetime": str(lifetime_s),
        "wan_input": wan_input,
        "session_cap": str(session_cap),
        "first_port": str(_NARROW_RANGE[0]),
        "last_port": str(_NARROW_RANGE[1]),
        "sequence": _sequence(1) if "symseq.nft" in files else "",
        "even": _sequence(2) if "symseq2.nft" in files else "",
        "odd": _sequence(2, 1) if "symseq2.nft" in files else "",
        "marks": str(_SESSION_MARKS),
        "oldest": _oldest(session_cap) if evicts else "",
    }
    return "".join(Template((RULES_FOLDER / name).read_text()).substitute(values) for name in files)


def _oldest(session_cap: int) -> str:
    """Write an nft map's elements: the mark of a new session to the mark of the one that it turns out."""
    marks = range(_SESSION_MARKS)
    return ", ".join(f"{mark} : {(mark - session_cap) % _SESSION_MARKS}" for mark in marks)
