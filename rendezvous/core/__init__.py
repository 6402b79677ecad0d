"""What the rendezvous decides, without sockets and clocks: admission, limits, login, presence, credentials."""
