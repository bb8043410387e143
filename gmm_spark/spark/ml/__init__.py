"""The pyspark.ml interface: estimator, model, evaluator, params, and the files of models."""
