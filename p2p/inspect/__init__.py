"""A look at the HTTP that passes an exposer: recorded within bounds, shown on a page for this machine only."""
