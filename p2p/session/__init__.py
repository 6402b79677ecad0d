"""Dialer and listener: joins identity, signalling, paths, QUIC and forwarding."""
