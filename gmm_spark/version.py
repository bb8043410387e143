"""The version of gmm_spark, in one place: the build, the manifests and the checkpoints read it here."""

__version__ = "0.1.0"
