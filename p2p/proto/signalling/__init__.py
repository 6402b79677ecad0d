"""Messages between peer and rendezvous."""
