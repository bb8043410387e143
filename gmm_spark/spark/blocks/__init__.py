"""Rows packed as blocks: packing, sampling, storage, and the read of each pass."""
