"""Finding out our own addresses: interfaces, STUN, relay."""
