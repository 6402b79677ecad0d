"""What a lab consists of: read from a TOML file, checked, kept as values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import LabError
from .kinds import MAX_EVICTING_CAP, kind_named
from .shapes import LinkShape, parse_shape, shape_from_json, shape_to_json

TOPOLOGIES_FOLDER: Final = Path(__file__).resolve().parent.parent / "topologies"

# An interface name has at most 15 characters, and each router has an interface of its name on the internet side.
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,9}")
RESERVED_NAMES: Final = frozenset({"inet", "srv"})
MAX_HOSTS: Final = 12
# Linux keeps an idle UDP mapping for 120 s once it saw traffic both ways (nf_conntrack_udp_timeout_stream).
DEFAULT_LIFETIME_S: Final = 120
_WAN_INPUTS: Final = ("drop", "reject", "accept")
_FULL_TABLES: Final = ("drop", "evict")
FAMILY_BOTH: Final = "both"
FAMILY_IPV4: Final = "ipv4"
FAMILY_IPV6: Final = "ipv6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """One router and the hosts on its LAN.

    Attributes:
        name: Its name; hosts are called by this name and a number from 1.
        kind: What it does to packets, one of `natlab.kinds.KINDS`.
        hosts: How many hosts its LAN has.
        uplink: The router whose LAN its outside is in (a carrier's NAT), or None for the internet itself.
        hairpin: Whether hosts reach each other through the outside address.
        lifetime_s: How long a mapping lives without traffic, in seconds.
        wan_input: What unsolicited packets to the router itself meet: ``drop``, ``reject`` or ``accept``.
        session_cap: Most UDP sessions at a time, or 0 for no limit.
        session_full: What a session beyond the cap does: ``drop``, it is not let out; ``evict``, it takes the place of
            the oldest one.
        portmap: Whether it forwards ports to hosts that ask for it, in PCP, NAT-PMP and UPnP.
        isolated: Whether the hosts of its LAN are kept from each other, as in a guest network.
        family: The addresses its hosts have: ``both``, ``ipv4`` or ``ipv6``.
        link: The shape of its uplink.
    """

    name: str
    kind: str = "port"
    hosts: int = 1
    uplink: str | None = None
    hairpin: bool = False
    lifetime_s: int = DEFAULT_LIFETIME_S
    wan_input: str = "drop"
    session_cap: int = 0
    session_full: str = "drop"
    isolated: bool = False
    portmap: bool = False
    family: str = FAMILY_BOTH
    link: LinkShape = field(default_factory=LinkShape)

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None or self.name in RESERVED_NAMES:
            raise LabError(
                f"{self.name!r} is no name for a router",
                "Take a letter and up to nine letters or digits, but not inet or srv.",
            )
        kind_named(self.kind)
        if not 0 <= self.hosts <= MAX_HOSTS:
            raise LabError(f"router {self.name} has {self.hosts} hosts", f"Give 0 to {MAX_HOSTS}.")
        if self.lifetime_s < 1:
            raise LabError(f"router {self.name}: lifetime is {self.lifetime_s} s", "Give at least 1 s.")
        if self.wan_input not in _WAN_INPUTS:
            raise LabError(f"router {self.name}: wan_input is {self.wan_input!r}", "Give drop, reject or accept.")
        if self.session_full not in _FULL_TABLES:
            raise LabError(f"router {self.name}: session_full is {self.session_full!r}", "Give drop or evict.")
        if self.session_full == "evict" and not 1 <= self.session_cap <= MAX_EVICTING_CAP:
            raise LabError(
                f"router {self.name}: session_cap is {self.session_cap}",
                f"Give 1 to {MAX_EVICTING_CAP} sessions where the oldest one is evicted.",
            )
        if self.family not in (FAMILY_BOTH, FAMILY_IPV4, FAMILY_IPV6):
            raise LabError(f"router {self.name}: family is {self.family!r}", "Give both, ipv4 or ipv6.")
        if self.portmap and (self.uplink is not None or not kind_named(self.kind).translates):
            raise LabError(
                f"router {self.name} has no ports to forward",
                "Take a kind that translates addresses, and no uplink.",
            )
        if self.uplink is not None and self.link != LinkShape():
            raise LabError(
                f"router {self.name} is behind {self.uplink}, its link cannot be shaped",
                f"Shape the link of {self.uplink}.",
            )

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts on its LAN, such as ``a1``, ``a2``."""
        return tuple(f"{self.name}{number}" for number in range(1, self.hosts + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything that makes up one lab.

    Attributes:
        name: What it is called where no other prefix is given.
        routers: The routers; one that others use as uplink comes before them.
        ipv6: Whether the lab has IPv6 at all.
        offload: Whether hosts may hand the kernel packets that are cut up later. Such a packet is delayed and
            lost as a whole, so switch it off where the loss of single packets matters.
    """

    name: str
    routers: tuple[Router, ...]
    ipv6: bool = True
    offload: bool = True

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise LabError(f"{self.name!r} is no name for a lab", "Take a letter and up to nine letters or digits.")
        seen: dict[str, Router] = {}
        for router in self.routers:
            for name in (router.name, *router.host_names):
                if name in seen:
                    raise LabError(f"the name {name} is used twice", "Rename one of the routers.")
            if router.uplink is not None:
                above = seen.get(router.uplink)
                if above is None or above.name != router.uplink:
                    raise LabError(
                        f"router {router.name} is behind {router.uplink}, which does not come before it",
                        "Write the outer router first.",
                    )
                if above.uplink is not None or not kind_named(above.kind).translates:
                    raise LabError(
                        f"router {router.name} cannot be behind {router.uplink}",
                        "The outer router has to translate addresses and to be on the internet itself.",
                    )
                if not kind_named(router.kind).translates:
                    raise LabError(
                        f"router {router.name} is behind {router.uplink} and translates no addresses",
                        "The outer router knows no way to its hosts: take a kind that translates.",
                    )
            if router.family == FAMILY_IPV6 and not (self.ipv6 and router.uplink is None):
                raise LabError(
                    f"the hosts of router {router.name} would have no address at all",
                    "Give the lab ipv6 = true, and the router no uplink.",
                )
            seen |= dict.fromkeys((router.name, *router.host_names), router)

    def router(self, name: str) -> Router:
        """Find a router.

        Raises:
            LabError: There is none of that name.
        """
        for router in self.routers:
            if router.name == name:
                return router
        raise LabError(f"there is no router named {name!r}", f"Routers: {', '.join(r.name for r in self.routers)}.")


def _parse_router(name: str, table: object, default_link: LinkShape) -> Router:
    if not isinstance(table, Mapping):
        raise LabError(f"routers.{name} is no table", f"Write a section [routers.{name}].")
    known = {
        "kind", "hosts", "uplink", "hairpin", "lifetime", "wan_input", "session_cap", "session_full", "isolated",
        "family", "link", "portmap",
    }  # fmt: skip
    unknown = set(table) - known
    if unknown:
        raise LabError(
            f"routers.{name} has unknown keys: {', '.join(sorted(unknown))}", f"Known: {', '.join(sorted(known))}."
        )
    values: dict[str, Any] = {key: table[key] for key in known - {"link", "lifetime"} if key in table}
    types = {"hosts": int, "session_cap": int, "hairpin": bool, "isolated": bool, "portmap": bool}
    for key, wanted in ((key, types.get(key, str)) for key in values):
        if key in values and type(values[key]) is not wanted:
            raise LabError(f"routers.{name}.{key} is {values[key]!r}", f"Give a value of type {wanted.__name__}.")
    lifetime = table.get("lifetime", DEFAULT_LIFETIME_S)
    if type(lifetime) is not int:
        raise LabError(f"routers.{name}.lifetime is {lifetime!r}", "Give whole seconds, such as 30.")
    if "link" in table:
        link = parse_shape(table["link"], where=f"routers.{name}.link")
    else:
        link = default_link if "uplink" not in table else LinkShape()
    return Router(name=name, lifetime_s=lifetime, link=link, **values)


def parse_topology(document: Mapping[str, Any], *, name: str) -> Topology:
    """Read a topology out of a parsed TOML document.

    Args:
        document: The document's top-level table.
        name: What the lab is called where the document does not say.

    Raises:
        LabError: A key or a value is wrong.
    """
    unknown = set(document) - {"name", "ipv6", "offload", "link", "routers"}
    if unknown:
        raise LabError(
            f"the topology has unknown keys: {', '.join(sorted(unknown))}",
            "Known: name, ipv6, offload, link, routers.",
        )
    link = parse_shape(document.get("link", {}), where="link")
    routers = document.get("routers", {})
    if not isinstance(routers, Mapping) or not routers:
        raise LabError("the topology has no routers", "Write at least one section [routers.NAME].")
    return Topology(
        name=str(document.get("name", name)),
        routers=tuple(_parse_router(name, table, link) for name, table in routers.items()),
        ipv6=bool(document.get("ipv6", True)),
        offload=bool(document.get("offload", True)),
    )


def load_topology(reference: str) -> Topology:
    """Read a topology file.

    Args:
        reference: A path, or the name of a file in ``netns-scripts/topologies`` with or without ``.toml``.

    Raises:
        LabError: There is no such file, it is no TOML, or a key or a value is wrong.
    """
    candidates = (Path(reference), TOPOLOGIES_FOLDER / reference, TOPOLOGIES_FOLDER / f"{reference}.toml")
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        known = ", ".join(sorted(file.stem for file in TOPOLOGIES_FOLDER.glob("*.toml")))
        raise LabError(f"there is no topology {reference!r}", f"Give a file, or one of: {known}.")
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path} is no TOML: {error}") from error
    return parse_topology(document, name=re.sub(r"[^a-z0-9]", "", path.stem.lower())[:10])


def topology_to_json(topology: Topology) -> dict[str, Any]:
    """Make the object that the state file holds."""
    return {
        "name": topology.name,
        "ipv6": topology.ipv6,
        "offload": topology.offload,
        "routers": [
            {
                **{key: getattr(router, key) for key in Router.__slots__ if key != "link"},
                "link": shape_to_json(router.link),
            }
            for router in topology.routers
        ],
    }


def topology_from_json(value: Mapping[str, Any]) -> Topology:
    """Undo `topology_to_json`."""
    routers = tuple(Router(**{**router, "link": shape_from_json(router["link"])}) for router in value["routers"])
    return Topology(name=value["name"], ipv6=value["ipv6"], offload=value["offload"], routers=routers)
