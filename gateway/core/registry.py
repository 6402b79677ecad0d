"""What is published: services by host name and by port, and their instances."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Final, Generic

from gateway.core import names
from gateway.core.access import AccessPolicy
from gateway.core.balance import InstanceT
from gateway.core.headers import is_for_rules
from gateway.core.paths import climbs, is_below, path_of, plain
from p2p.errors import ConfigError, DecodeError
from p2p.identity import PeerId
from p2p.proto.publication import Access, Issuer, Kind, Publish

_CHOICES: Final = 64
"""How many random names are tried before giving up."""
_NAME_CHARACTERS: Final = 8
"""Of a peer id, in the name of an instance: no operator has two that begin alike."""
_PORT_KINDS: Final = frozenset({"tcp", "udp"})


class RefusedError(ConfigError):
    """A service is not published.

    Args:
        reason: For the publisher's user.
        is_final: Whether asking again is no use.
    """

    def __init__(self, reason: str, *, is_final: bool = True) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Service(Generic[InstanceT]):
    """One published service.

    Attributes:
        kind: How visitors reach it.
        hosts: Its host names; empty for a port.
        path: Below which path of them it is; empty for all that no other has.
        port: Its TCP or UDP port, or 0.
        policy: Who may come. The instance that came last, of those that are there, decides.
        instances: Those that serve it.
    """

    def __init__(self, owner: PeerId, request: Publish, hosts: tuple[str, ...], port: int) -> None:
        self.kind: Kind = request.kind
        self.hosts = hosts
        self.path = request.path
        self.port = port
        self.policy: AccessPolicy
        self.instances: list[InstanceT] = []
        self._policies: dict[InstanceT, AccessPolicy] = {}
        self._owner = owner
        self._group = request.group

    @property
    def deciding(self) -> InstanceT:
        """The instance whose policy counts."""
        return next(reversed(self._policies))

    @property
    def title(self) -> str:
        """What to call it in logs and on pages."""
        return f"{self.hosts[0]}{self.path}" if self.hosts else f"{self.kind} port {self.port}"

    @property
    def reference(self) -> str:
        """What operators and their files call it: its first host name with its path, or ``tcp:20022``."""
        return f"{self.hosts[0]}{self.path}" if self.hosts else f"{self.kind}:{self.port}"

    def add(self, instance: InstanceT, policy: AccessPolicy) -> None:
        """Another program serves it, and decides from now on who may come."""
        taken = {other.name for other in self.instances}
        short = instance.key[:_NAME_CHARACTERS]
        numbered = (f"{short}-{number}" for number in count(2))
        instance.name = next(name for name in chain([short], numbered) if name not in taken)
        self.instances.append(instance)
        self._policies[instance] = self.policy = policy

    def remove(self, instance: InstanceT) -> None:
        """A program serves it no more; the last policy stays for requests that are under way."""
        if instance in self._policies:
            self.instances.remove(instance)
            del self._policies[instance]
            self.policy = next(reversed(self._policies.values()), self.policy)

    def set_keys(self, instance: InstanceT, issuers: tuple[Issuer, ...]) -> None:
        """Take the keys that issuers have now, by the word of one instance for its own policy.

        Raises:
            ConfigError: A key is none.
        """
        self._policies[instance].set_keys(issuers)

    def admits(self, owner: PeerId, request: Publish) -> bool:
        """Whether another program may serve this name too."""
        if request.kind != self.kind:
            return False
        if self._group or request.group:
            return hmac.compare_digest(self._group.encode(), request.group.encode())
        return owner == self._owner


class Registry(Generic[InstanceT]):
    """All published services.

    Args:
        domain: The gateway's own; names become hosts below it. Empty: publishers bring hosts of their own.
        reserved: Labels that nobody gets.
        ports: The first and last port that may be published, for ``tcp`` and for ``udp``; neither without it.
        custom_hosts: Whether publishers may bring host names outside the domain.
        random_bytes: Source of what nobody guesses.
    """

    def __init__(
        self,
        *,
        domain: str,
        reserved: frozenset[str],
        ports: Mapping[Kind, tuple[int, int]],
        custom_hosts: bool,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._domain = domain
        self._reserved = reserved
        self._ports = ports
        self._custom_hosts = custom_hosts
        self._random_bytes = random_bytes
        self._by_host: dict[str, dict[str, Service[InstanceT]]] = {}
        self._by_port: dict[tuple[Kind, int], Service[InstanceT]] = {}

    def __iter__(self) -> Iterator[Service[InstanceT]]:
        by_path = [service for services in self._by_host.values() for service in services.values()]
        yield from dict.fromkeys([*by_path, *self._by_port.values()])

    def of_host(self, host: str) -> Service[InstanceT] | None:
        """A service of a host name in lower case; all of them are of one kind."""
        return next(iter(self._by_host.get(host, {}).values()), None)

    def of_target(self, host: str, target: str) -> Service[InstanceT] | None:
        """The service of a request: that with the longest path above it.

        Args:
            host: In lower case.
            target: Path and query.

        Raises:
            DecodeError: The path could be understood in two ways, and services of this host are told apart by it.
        """
        services = self._by_host.get(host, {})
        if services.keys() <= {""}:
            return services.get("")
        path = path_of(target)
        prefix, other = _prefix_of(path, services), _prefix_of(plain(path), services)
        if prefix != other or climbs(plain(path)):
            raise DecodeError("a path of two services")
        return services.get(prefix)

    def publish(self, owner: PeerId, request: Publish, instance: InstanceT) -> Service[InstanceT]:
        """Add an instance, and the service if it is the first.

        Args:
            owner: The publisher, authenticated.
            request: What it asks for.
            instance: The program.

        Returns:
            The service.

        Raises:
            RefusedError: A name or port is not free, or not allowed.
        """
        wrong = [rule.name for rule in request.headers if not is_for_rules(rule.name)]
        if wrong:
            raise RefusedError(
                f"the header {wrong[0]} cannot be changed: it belongs to the connection or to the message"
            )
        is_port = request.kind in _PORT_KINDS
        service = self._publish_port(owner, request) if is_port else self._publish_host(owner, request)
        try:
            service.add(instance, _policy_of(request))
        except RefusedError:
            self._forget_if_empty(service)
            raise
        return service

    def withdraw(self, service: Service[InstanceT], instance: InstanceT) -> None:
        """Remove an instance, and the service with the last one."""
        service.remove(instance)
        self._forget_if_empty(service)

    def _forget_if_empty(self, service: Service[InstanceT]) -> None:
        if not service.instances:
            for host in service.hosts:
                services = self._by_host.get(host, {})
                services.pop(service.path, None)
                if not services:
                    self._by_host.pop(host, None)
            self._by_port.pop((service.kind, service.port), None)

    def _publish_host(self, owner: PeerId, request: Publish) -> Service[InstanceT]:
        hosts = tuple(dict.fromkeys(host.lower() for host in request.hosts)) or (self._own_host(request.name),)
        for host in request.hosts and hosts:
            self._check_custom(host)
        if request.path and request.kind != "http":
            raise RefusedError("only HTTP has paths")
        known = {self._by_host.get(host, {}).get(request.path) for host in hosts}
        existing = next(iter(known))
        neighbours = [service for host in hosts for service in self._by_host.get(host, {}).values()]
        if len(known) > 1 or not all(service.admits(owner, request) for service in neighbours):
            # Perhaps a program of the same user that has just died: its name is free again in a while.
            raise RefusedError(f"{' and '.join(hosts)} is in use by somebody else", is_final=False)
        others = [service for service in neighbours if service is not existing]
        if any(service.policy.access.client_ca != request.access.client_ca for service in others):
            raise RefusedError("all paths of a host ask for the same certificates: the handshake comes before the path")
        if existing is not None:
            return existing
        service = Service[InstanceT](owner, request, hosts, 0)
        for host in hosts:
            self._by_host.setdefault(host, {})[request.path] = service
        return service

    def _own_host(self, label: str) -> str:
        if not self._domain:
            raise RefusedError("this gateway has no domain: publish a host name of your own")
        if label:
            if not names.is_label(label):
                raise RefusedError(f"{label!r} cannot be part of a host name: use letters, digits and dashes")
            if label in self._reserved:
                raise RefusedError(f"the name {label!r} is reserved")
            return f"{label}.{self._domain}"
        for _ in range(_CHOICES):
            host = f"{names.random_label(self._random_bytes)}.{self._domain}"
            if host not in self._by_host:
                return host
        raise RefusedError("no name is free", is_final=False)

    def _check_custom(self, host: str) -> None:
        if not names.is_host(host):
            raise RefusedError(f"{host!r} is not a host name")
        if host == self._domain or host.endswith(f".{self._domain}"):
            raise RefusedError(f"{host} is below the gateway's own domain: ask for it by name")
        if not self._custom_hosts:
            raise RefusedError("this gateway serves names below its own domain only")

    def _publish_port(self, owner: PeerId, request: Publish) -> Service[InstanceT]:
        kind = request.kind
        if kind not in self._ports:
            raise RefusedError(f"this gateway publishes no {kind.upper()} ports")
        first, last = self._ports[kind]
        if request.port and not first <= request.port <= last:
            raise RefusedError(f"port {request.port} is not among {first} to {last}, which this gateway publishes")
        port = request.port or self._free_port(kind, first, last)
        existing = self._by_port.get((kind, port))
        if existing is not None:
            if not existing.admits(owner, request):
                raise RefusedError(f"port {port} is in use by somebody else", is_final=False)
            return existing
        service = self._by_port[kind, port] = Service[InstanceT](owner, request, (), port)
        return service

    def _free_port(self, kind: Kind, first: int, last: int) -> int:
        """Choose by chance, so that a port is not soon given to somebody else whose visitors expect its last owner."""
        start = first + int.from_bytes(self._random_bytes(4), "big") % (last - first + 1)
        for port in chain(range(start, last + 1), range(first, start)):
            if (kind, port) not in self._by_port:
                return port
        raise RefusedError("no port is free", is_final=False)


def _prefix_of(path: str, prefixes: Iterable[str]) -> str:
    return max((prefix for prefix in prefixes if is_below(path, prefix)), key=len, default="")


def _policy_of(request: Publish) -> AccessPolicy:
    try:
        policy = AccessPolicy(request.access)
    except ConfigError as error:
        raise RefusedError(error.detail) from error
    access = request.access
    can_log_in = request.kind in ("http", "tcpmux")
    if not can_log_in and (access.basic or access.bearer or access.jwt):
        raise RefusedError("only visitors by HTTP or CONNECT can log in")
    if request.kind != "http" and _is_for_http(access):
        raise RefusedError("only HTTP has bodies that are signed, browsers, and limits of connections and size")
    if request.kind != "http" and (request.headers or request.health is not None):
        raise RefusedError("only HTTP has headers to change, and a path to ask whether the service is well")
    return policy


def _is_for_http(access: Access) -> bool:
    has_login = access.webhooks or access.client_ca or access.oidc
    return bool(has_login or access.connections or access.body_max_bytes or access.header_max_bytes)
