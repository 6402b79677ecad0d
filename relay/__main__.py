"""``python -m relay``."""

from relay.cli import run

run()
