"""``python -m rendezvous``."""

from rendezvous.cli import run

run()
