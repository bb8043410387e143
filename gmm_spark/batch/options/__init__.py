"""The options of jobs: their definition, their layers, what is said about mistakes in them."""
