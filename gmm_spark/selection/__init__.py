"""Which of several mixtures: criteria over candidates that share their reads of the data."""
