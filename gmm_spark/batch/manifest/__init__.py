"""The report that each run writes: the manifest, its schema, the versions of the software."""
