"""Measurements that anyone can repeat: ours beside what else moves bytes between two hosts."""
