"""The face of pyspark.ml: estimator, model, evaluator, params, files of models."""
