"""TCP connections on top of QUIC streams."""
