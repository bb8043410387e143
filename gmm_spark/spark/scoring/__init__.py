"""Scoring columns for a DataFrame, and random rows from a mixture."""
