"""One socket for everything, and the choice of the path that carries a peer."""
