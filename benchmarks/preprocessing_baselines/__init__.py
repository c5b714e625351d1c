"""Baselines of preprocessing: the Yoochoose protocol, written without regard to speed.

`dataframe` and `elementwise` are scripts with the arguments `LOG DIR`. They use the
defaults of the data set `sample` and write a `result.Result`.
"""
