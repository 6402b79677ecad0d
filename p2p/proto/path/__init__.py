"""Which path carries a peer now: a pure policy."""
