"""One read of the rows: the E-step over blocks of rows, and the sufficient statistics."""
