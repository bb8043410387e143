"""Model selection: criteria over candidates that share their reads of the data."""
