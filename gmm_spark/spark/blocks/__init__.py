"""Rows packed as blocks: how they are made, sampled, stored and read by each pass."""
