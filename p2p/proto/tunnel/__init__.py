"""What peers say to each other inside the QUIC connection."""
