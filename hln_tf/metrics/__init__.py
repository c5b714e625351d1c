"""Recall and MRR over the full catalogue, as Keras metrics.

`RecallAtK` and `MRRAtK` take the targets' ranks, `FullCatalogueRanking` computes them
from embeddings for a task of TFRS. All are of Keras 2, `import tf_keras as keras`. Names
are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
