"""The options of the jobs: definitions, layers, and errors about wrong options."""
