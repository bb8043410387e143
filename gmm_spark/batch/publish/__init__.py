"""Publish an output: write it to a staging folder, check it, rename it into place; decide what may be replaced."""
