"""A job while it runs: its log, its faults and signals, its exit status."""
