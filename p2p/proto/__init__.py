"""Protocol cores: pure state machines and codecs, without I/O, clock or randomness."""
