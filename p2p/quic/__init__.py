"""QUIC engines behind one interface."""
