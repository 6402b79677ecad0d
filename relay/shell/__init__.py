"""The sockets of the relay: they move bytes and ask the core what the bytes mean."""
