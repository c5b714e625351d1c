"""Other ways to preprocess a log of the Yoochoose format.

`in_memory` and `elementwise` are scripts with the arguments `LOG DIR`. They use the
defaults of the data set `sample` and write a `result.Result`.
"""
