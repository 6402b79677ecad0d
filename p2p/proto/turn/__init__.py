"""The client side of TURN (RFC 8656)."""
