"""The parts of the model as Keras layers."""
