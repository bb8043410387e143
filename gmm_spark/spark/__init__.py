"""Spark around the core: rows to blocks, blocks to statistics, posteriors, and the pyspark.ml face."""
