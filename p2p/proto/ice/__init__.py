"""Candidates, pairs and connectivity checks (RFC 8445, 8838)."""
