"""Spark around the core: blocks of rows, their statistics, posteriors, and the pyspark.ml classes."""
