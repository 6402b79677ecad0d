"""The NAT lab: routers and hosts out of network namespaces, on one Linux machine, for tests and measurements."""
