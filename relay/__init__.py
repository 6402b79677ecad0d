"""A TURN server."""
