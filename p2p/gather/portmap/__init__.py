"""Having the router forward a port: sockets and HTTP around the cores of ``p2p.proto.portmap``."""
