"""Recall, MRR and NDCG over the full catalogue as Keras metrics, and others from ranks and lists.

`RecallAtK`, `MRRAtK` and `NDCGAtK` take the targets' ranks, `FullCatalogueRanking` computes
them from embeddings for a task of TFRS. All are of Keras 2, `import tf_keras as keras`.
`means_of_ranks` computes the same in NumPy and `BeyondAccuracy` other properties of
lists of recommendations. Names are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
