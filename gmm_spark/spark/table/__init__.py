"""The rows of a DataFrame: feature columns, checks, and the survey (the first read)."""
