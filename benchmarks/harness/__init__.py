"""What all figures share: places, programs, traffic, and the runner."""
