"""Logs: their set-up, and loggers that know what they talk about."""
