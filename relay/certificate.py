"""The TLS context of the relay's listeners."""

from __future__ import annotations

import ssl

from p2p.errors import ConfigError
from relay.config import CODE_TLS, RelayConfig


def tls_context(config: RelayConfig) -> ssl.SSLContext:
    """Make the context of a relay's TLS listeners.

    Args:
        config: Names the certificate and the key.

    Raises:
        ConfigError: They cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["stun.turn", "http/1.1"])  # RFC 7443, and what a web server has
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: RelayConfig) -> None:
    """Let a context show the certificate as it is on disk now.

    Args:
        context: Connections that it made already keep what they have.
        config: Names the certificate and the key.

    Raises:
        ConfigError: They cannot be used.
    """
    assert config.tls_certificate is not None
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls_certificate {config.tls_certificate}: {error}", code=CODE_TLS) from error
