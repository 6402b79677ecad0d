"""Asking a router to forward a port: PCP (RFC 6887), NAT-PMP (RFC 6886), UPnP IGD 1 and 2."""
