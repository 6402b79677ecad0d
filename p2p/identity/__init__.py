"""Keys, peer ids, certificates, tickets."""
