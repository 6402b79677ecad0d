"""Reach a service behind a NAT: the peer's library and command line."""
