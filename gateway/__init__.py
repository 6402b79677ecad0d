"""The public gateway: gives an exposed service a URL or a port for people who have no client."""
