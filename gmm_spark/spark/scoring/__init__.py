"""What a model does with rows: posteriors of a DataFrame, and rows drawn from a mixture."""
