"""What a gateway publishes, as configuration of the proxies in front of it."""
