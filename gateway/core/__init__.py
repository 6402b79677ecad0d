"""Decisions without I/O: which service a visitor means, whether it may come, and which instance serves it."""
