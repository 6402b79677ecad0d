"""What the gateway's operator sees and changes while it runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import Counter

from gateway.core.registry import Registry, Service
from gateway.metrics import Metrics
from gateway.publishers import Publisher
from p2p.aio.control_socket import Command, Controlled
from p2p.errors import ConfigError, ErrorCode
from p2p.session.status import PathKind

CODE_CONTROL: Final = ErrorCode("P2P-1520", "Choose another path for the gateway's control socket.")
CODE_NO_GATEWAY: Final = ErrorCode("P2P-1521", "Start the gateway, or name its control socket with --socket.")
CODE_NO_INSTANCE: Final = ErrorCode("P2P-1522", "Name what `p2p gateway status` lists.")

GATEWAY: Final = Controlled(
    "gateway", ConfigError, taken=CODE_CONTROL, silent=CODE_NO_GATEWAY, refused=CODE_NO_INSTANCE
)
WEIGHT_MAX: Final = 1000


class GatewayControl:
    """The commands of the control socket.

    Weights that were set and instances that were set aside stay so when their program connects anew, as long as this
    gateway runs.

    Args:
        registry: What is published.
        metrics: What was counted.
        urls_of: How the public reaches a service.
        changed: Called with each service whose instances were set aside, or back.
        about: What else belongs into the status.
        now: The monotonic clock.
    """

    def __init__(
        self,
        registry: Registry[Publisher],
        metrics: Metrics,
        *,
        urls_of: Callable[[Service[Publisher]], Sequence[str]],
        changed: Callable[[Service[Publisher]], None],
        about: Callable[[], Mapping[str, Any]],
        now: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._urls_of = urls_of
        self._changed = changed
        self._about = about
        self._now = now
        self._weights: dict[tuple[str, str], int] = {}
        self._set_aside: set[tuple[str, str]] = set()

    @property
    def commands(self) -> dict[str, Command]:
        """What the control socket offers, by name."""
        return {"status": self.status, "weight": self.weight, "drain": self.drain, "resume": self.resume}

    def joined(self, service: Service[Publisher], publisher: Publisher) -> None:
        """Let an instance that has come, or come back, be as the operator wants it."""
        key = (service.reference, publisher.name)
        publisher.weight = self._weights.get(key, publisher.weight)
        publisher.is_set_aside = key in self._set_aside

    def status(self) -> dict[str, Any]:
        """How the gateway does."""
        services = [self._service(service) for service in self._registry]
        instances = [instance for service in services for instance in service["instances"]]
        return {
            "pid": os.getpid(),
            "taken": round(time.time(), 3),
            **self._about(),
            "services": services,
            "totals": {
                "services": len(services),
                "instances": len(instances),
                "open": sum(instance["open"] for instance in instances),
                "requests": _counts(self._metrics.requests, "status"),
                "connections": _counts(self._metrics.connections, "kind"),
                "refused": _counts(self._metrics.refused, "reason"),
                "retries": sum(_counts(self._metrics.retries).values()),
                "ejections": sum(_counts(self._metrics.ejections).values()),
            },
        }

    def weight(self, name: str, instance: str, weight: str) -> dict[str, Any]:
        """Change an instance's share.

        Raises:
            ConfigError: There is no such instance, or the weight is none.
        """
        if not (weight.isascii() and weight.isdigit() and 1 <= int(weight) <= WEIGHT_MAX):
            raise ConfigError(f"{weight!r} is no weight from 1 to {WEIGHT_MAX}", code=CODE_NO_INSTANCE)
        service = self._find(name)
        publisher = _instance(service, instance)
        before, publisher.weight = publisher.weight, int(weight)
        self._weights[service.reference, publisher.name] = publisher.weight
        return {"service": service.reference, "instance": publisher.name, "weight": publisher.weight, "before": before}

    def drain(self, name: str = "", instance: str = "") -> dict[str, Any]:
        """Set an instance aside, or all of a service; without a name let the whole gateway drain and end."""
        if not name:
            os.kill(os.getpid(), signal.SIGTERM)
            return {"draining": "gateway", "open": sum(p.open for s in self._registry for p in s.instances)}
        return self._put(name, instance, is_aside=True)

    def resume(self, name: str, instance: str = "") -> dict[str, Any]:
        """Take an instance, or all of a service, back."""
        return self._put(name, instance, is_aside=False)

    def _put(self, name: str, instance: str, *, is_aside: bool) -> dict[str, Any]:
        service = self._find(name)
        chosen = [_instance(service, instance)] if instance else list(service.instances)
        for publisher in chosen:
            publisher.is_set_aside = is_aside
            key = (service.reference, publisher.name)
            self._set_aside.add(key) if is_aside else self._set_aside.discard(key)
        self._changed(service)
        return {
            "service": service.reference,
            "instances": [publisher.name for publisher in chosen],
            "open": sum(publisher.open for publisher in chosen),
        }

    def _find(self, name: str) -> Service[Publisher]:
        wanted = name.lower()
        by_name: dict[str, Service[Publisher]] = {}
        for service in self._registry:
            # What is written in full is meant; a label is the first service that has it.
            for known in (*service.hosts, *(host.partition(".")[0] for host in service.hosts)):
                by_name.setdefault(known, service)
        by_name |= {service.reference: service for service in self._registry}
        if wanted in by_name:
            return by_name[wanted]
        raise ConfigError(f"nothing is published as {name!r}", code=CODE_NO_INSTANCE)

    def _service(self, service: Service[Publisher]) -> dict[str, Any]:
        now = self._now()
        return {
            "service": service.reference,
            "kind": service.kind,
            "hosts": list(service.hosts),
            "port": service.port,
            "urls": list(self._urls_of(service)),
            "instances": [_shown(publisher, now) for publisher in service.instances],
        }


def _shown(publisher: Publisher, now: float) -> dict[str, Any]:
    path = publisher.session.path
    rtt_s = publisher.rtt_s
    return {
        "instance": publisher.name,
        "peer": str(publisher.session.peer),
        "state": publisher.state(now),
        "weight": publisher.weight,
        "open": publisher.open,
        "connections": publisher.connections,
        "requests": publisher.served,
        "failures": publisher.failures,
        "rtt_ms": None if rtt_s is None else round(rtt_s * 1000, 3),
        "path": None if path is None else PathKind.DIRECT if path.is_direct else PathKind.RELAY,
        "address": None if path is None else str(path.remote),
        "since": round(publisher.session.since_wall, 3),
    }


def _instance(service: Service[Publisher], name: str) -> Publisher:
    for publisher in service.instances:
        if publisher.name == name:
            return publisher
    raise ConfigError(f"{service.reference} has no instance {name!r}", code=CODE_NO_INSTANCE)


def _counts(counter: Counter, label: str = "") -> dict[str, int]:
    """What a counter has counted, by one of its labels."""
    samples = [sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {sample.labels.get(label, ""): int(sample.value) for sample in samples}
