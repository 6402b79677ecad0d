"""Services that an exposer has built in: they are reached as any other, by a stream, and open no port."""
