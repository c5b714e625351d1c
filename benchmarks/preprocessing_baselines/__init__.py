"""The Yoochoose protocol as one would write it without thinking of speed, to compare with.

Each module is a script `LOG DIR` that keeps to the defaults of the data set `sample` and
writes what `benchmarks.preprocessing_baselines.result` describes.
"""
