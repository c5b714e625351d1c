import hln_tf  # noqa: F401  It selects Keras 2, so it comes before TensorFlow.
