"""Programs whose cost per click `benchmarks.scale` measures, each a process of its own."""
