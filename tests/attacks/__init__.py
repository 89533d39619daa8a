"""Attacks on the port that players connect to: what the node does, and what it costs the others."""
