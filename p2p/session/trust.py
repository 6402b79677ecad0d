"""Whom to trust about the names of rendezvous and relay."""

from __future__ import annotations

import ssl

from p2p.errors import ConfigError
from p2p.session.options import PeerOptions


def trust(options: PeerOptions) -> ssl.SSLContext | None:
    """Make the TLS trust for rendezvous and relay.

    Returns:
        What trusts the CA file; None for the system's authorities, which take a while to load and are often not
        needed.

    Raises:
        ConfigError: The CA file cannot be used.
    """
    if options.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(options.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use the CA file {options.ca_file}: {error}") from error
