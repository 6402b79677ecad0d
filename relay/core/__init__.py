"""What a TURN server decides, without a socket or a clock of its own."""
