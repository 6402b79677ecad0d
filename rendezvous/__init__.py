"""Names, presence and signalling between peers; STUN; relay credentials."""
