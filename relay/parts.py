"""What each of several workers has of what a configuration gives to the whole relay."""

from __future__ import annotations

from dataclasses import replace

from p2p.address import TransportAddress
from relay.config import RelayConfig
from relay.shell.share import Share


def part_of(config: RelayConfig, share: Share) -> RelayConfig:
    """Return a worker's part of what a configuration gives to the whole relay.

    Limits for one user or address hold in each worker, because all traffic of a client is in one.

    Args:
        config: Of the whole relay.
        share: The worker's.
    """
    count, index = share.ports.count, share.index
    first, last = share.ports.part(index)
    rates, total = config.rates, config.rates.total
    part_of_total = replace(total, bytes_per_s=total.bytes_per_s / count, packets_per_s=total.packets_per_s / count)
    return replace(
        config,
        port_first=first,
        port_last=last,
        quotas=replace(config.quotas, total=-(-config.quotas.total // count)),
        connections=replace(config.connections, total=-(-config.connections.total // count)),
        rates=replace(rates, total=part_of_total),
        metrics=config.metrics and TransportAddress(config.metrics.host, config.metrics.port + index),
        control=config.control and config.control_sockets()[index],
    )
