"""Tests of gmm_spark on Spark."""
