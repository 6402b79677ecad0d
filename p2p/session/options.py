"""What a user may ask of the session layer: values only, already checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.proxy import PROXY_SERVICE
from p2p.proto.publication import Access as Access
from p2p.proto.publication import HeaderRule as HeaderRule
from p2p.proto.publication import Health as Health
from p2p.proto.publication import Kind as Kind
from p2p.proto.publication import Webhook as Webhook
from p2p.proxy_rules import ProxyRule
from p2p.target import Offered, ServiceRates, Target, TcpTarget


class ProxyVersion(StrEnum):
    """Which form the header of the PROXY protocol has."""

    V1 = "v1"
    """A line of text."""
    V2 = "v2"
    """Binary."""


class ProxySource(StrEnum):
    """Whose address a service is told by the PROXY protocol."""

    PEER = "peer"
    """The connecting side's, as packets of the session come from it: what we see ourselves."""
    CLIENT = "client"
    """That of the program behind the connecting side, as that side tells: its word."""


class RelayPolicy(StrEnum):
    """Which kinds of path a session may use."""

    ALLOW = "allow"
    """Relay first, direct as soon as it works."""
    ONLY = "only"
    """Relay only: the peers never learn each other's addresses."""
    NEVER = "never"
    """Direct only: fail rather than use a relay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """What both sides need: who we are, where we meet, what we allow."""

    rendezvous_urls: tuple[str, ...] = ()
    """Rendezvous servers, the preferred one first; empty means those of the ticket."""
    token: str | None = field(default=None, repr=False)
    """Admission token for the rendezvous; a secret."""
    ca_file: Path | None = None
    """PEM file with the authorities to trust for the rendezvous and the relay, instead of the system's."""
    engine: str | None = None
    """QUIC engine, ``qh3`` or ``aioquic``; None takes the best one installed."""
    identity_path: Path | None = None
    """Key file; None means the one in the platform's configuration folder."""
    relay_policy: RelayPolicy = RelayPolicy.ALLOW
    """Which kinds of path a session may use."""
    birthday: bool = True
    """Whether many sockets and probes may be spent on a pair of difficult NATs."""
    port_mapping: bool = True
    """Whether to ask the router to forward a port, unless the rendezvous is on this host."""
    shared_folder: Path | None = None
    """Where all programs of this user agree on who guesses ports now; None lets this one not care."""
    timeout_s: float = defaults.CONNECT_TIMEOUT_S
    """How long to wait for the rendezvous and for the first path to a peer."""
    verbose: bool = False
    """Whether to log in detail and show tracebacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """Whose tokens (JWT) let visitors in."""

    location: str
    """URL of the issuer or of its key set, or a file with a key set."""
    issuer: str = ""
    """What ``iss`` must be; empty takes any, but an issuer found by its URL must be named."""
    audience: tuple[str, ...] = ()
    """One of these must be in ``aud``; without any, only tokens without an audience are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcOptions:
    """Where visitors log in with their browser, and who may come then."""

    issuer: str
    """URL of the issuer."""
    client: str
    """By which name the issuer knows the service."""
    secret: str = field(default="", repr=False)
    """What the issuer gave with the name; empty for a public client."""
    allow: tuple[str, ...] = ()
    """Mail addresses, ``@domain`` or ``sub:ID``, in lower case; empty for whoever can log in there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicOptions:
    """How a gateway puts a service before the public."""

    gateways: tuple[str, ...] = field(repr=False)
    """The tickets of the gateways, which carry secrets; several serve one name."""
    kind: Kind = "http"
    """Virtual host, TLS passed through, TCP or UDP port."""
    name: str = ""
    """The label below the gateway's domain; empty lets the gateway choose."""
    hosts: tuple[str, ...] = ()
    """Host names of one's own, instead of a name."""
    path: str = ""
    """Only requests below this path; empty for all that no other has."""
    strips_path: bool = False
    """Whether the service is asked for what is below the path, as if there were none."""
    port: int = 0
    """For TCP and UDP: the port; 0 lets the gateway choose."""
    speaks_h2: bool = False
    """Whether the service speaks HTTP/2 without TLS."""
    group: str = field(default="", repr=False)
    """A secret that several publishers of one name share."""
    weight: int = 1
    """How many times as many visitors as an instance of weight 1."""
    access: Access = field(default_factory=Access, repr=False)
    """Whom the gateway lets through; it holds secrets."""
    health: Health | None = None
    """How the gateway asks whether the service is well; None: it does not."""
    headers: tuple[HeaderRule, ...] = field(default=(), repr=False)
    """Changes to the headers of visitors' requests; values may be secrets."""
    oidc: OidcOptions | None = None
    """Where visitors log in with their browser, which lets them in as well."""
    issuers: tuple[IssuerOptions, ...] = ()
    """Whose tokens let visitors in as well; their keys become part of ``access``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposeOptions:
    """What to put on offer, and to whom."""

    targets: Mapping[str, Offered]
    """Where each service is, as seen from here, by its name; the ticket's own has the empty name."""
    name: str = ""
    """A name for people; empty takes the text of the targets."""
    allow: tuple[str, ...] = ()
    """Peer ids that may connect; empty admits every holder of the ticket."""
    once: bool = False
    """Whether to end after the first session."""
    lan: bool = False
    """Whether to announce the service to this network by multicast DNS; then no rendezvous is needed."""
    expires_s: float | None = None
    """How long the ticket works, in seconds from now; None means as long as the command runs."""
    inspect: TransportAddress | None = None
    """Where to show the HTTP that passes, on this machine; None shows nothing."""
    public: PublicOptions | None = None
    """How it is put before the public as well; None: only ticket holders come."""
    inbox: Path | None = None
    """The folder that whoever may connect may put files into; None takes none."""
    hidden: bool = False
    """Whether names that begin with a dot are shown, served and taken."""
    proxy_to: tuple[ProxyRule, ...] = ()
    """Where whoever may connect may go by a proxy on this side; empty for nowhere."""
    allow_bench: bool = False
    """Whether whoever may connect may also measure, which takes all the bandwidth there is."""

    proxy_protocol: ProxyVersion | None = None
    """Which PROXY header services are sent in front of each connection; None sends none."""
    proxy_source: ProxySource = ProxySource.PEER
    """Whose address is in it."""
    limits: Mapping[str, ServiceRates] = field(default_factory=dict)
    """How fast each service may be, by its name; the empty one is for all that are not named."""
    reverse: Mapping[str, Target] = field(default_factory=dict)
    """Where services appear that connecting sides offer, by their names; empty takes none."""

    @property
    def target(self) -> str:
        """The targets as a person writes them."""
        if not self.targets and self.inbox is not None:
            return f"inbox {self.inbox}"
        if not self.targets and self.proxy_to:
            return "proxy"
        if not self.targets and self.reverse:
            return "services of others"
        return ", ".join(f"{name}={target}" if name else str(target) for name, target in self.targets.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """Which service to reach, and how local programs get to it."""

    ticket: str = field(repr=False)
    """The ticket's text; it carries a secret."""
    listen: Mapping[str, Target] | None = None
    """Where each service appears here, by its name; port 0 lets the system choose; None puts each at a free port."""
    lan: bool = False
    """Whether to look for the service in this network by multicast DNS though the ticket names a rendezvous."""
    socks: TransportAddress | None = None
    """Where the proxy of the other side appears here; None for nowhere."""
    compress: bool = False
    """Whether the bytes of connections are compressed on the way."""
    stdio: bool = False
    """Whether standard input and output are the one connection."""
    stdio_service: str = ""
    """Which service that connection goes to; empty for the only one."""
    limits: Mapping[str, ServiceRates] = field(default_factory=dict)
    """How fast each service may be, by its name; the empty one is for all that are not named."""
    reverse: Mapping[str, Target] = field(default_factory=dict)
    """Services of ours that the exposing side may reach, by the names that it knows them by."""

    @property
    def places(self) -> Mapping[str, Target] | None:
        """Where everything appears here, the proxy included; None puts each service at a free port."""
        if self.socks is None:
            return self.listen
        return {**(self.listen or {}), PROXY_SERVICE: TcpTarget(*self.socks)}
