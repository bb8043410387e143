"""The rows of a DataFrame: their columns, whether they can be used, the first read of them."""
