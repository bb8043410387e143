"""The steps of the jobs: input, estimate, scored table, quality, selection, dry run."""
