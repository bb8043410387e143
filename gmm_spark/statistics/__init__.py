"""What one read of the rows gives: the E-step over blocks of rows and the sufficient statistics."""
