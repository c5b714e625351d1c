"""Hyperparameter search with KerasTuner.

    dataset = hln_tf.SessionDataset.from_clicks(clicks, session="visit", item="sku", time="ts")
    tuner = tuning.search(dataset, max_trials=20)
    tuner.results_summary()
    recommender = hln_tf.Recommender.fit(dataset, **tuner.best_settings)

`python -m tuning.search` is the command, which several processes can share. Names are imported on
first use, as `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
