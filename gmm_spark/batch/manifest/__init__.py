"""What a run writes about itself: the manifest, its schema, the versions of the software."""
