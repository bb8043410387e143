"""One fit on a DataFrame: start, passes, checkpoints, progress."""
