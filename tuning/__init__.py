"""Search for settings with KerasTuner."""
