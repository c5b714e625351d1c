"""From a trained run to TensorFlow Serving."""
