"""Losses against a catalogue of items, and their retrieval task.

A model takes a loss as an object or by its name in `get`:

- `softmax`, `FullSoftmax`: the cross-entropy over every item.
- `equation_8`, `Equation8`: eq. 8 of the paper as printed.
- `sampled`, `SampledSoftmax`: the cross-entropy over sampled negatives.
- `in_batch`, `InBatchSoftmax`: the cross-entropy over the targets of the batch.
- `bpr`, `BPR`; `bpr_adaptive`, `AdaptiveBPR`; `bpr_max`, `BPRMax`; `top1`, `TOP1`;
  `binary`, `BinaryCrossEntropy`: pairwise losses against sampled negatives.

`RetrievalLoss` and `PairwiseLoss` are the bases for losses of one's own,
`NegativeSampler` is the sampler of negatives, and `FullCatalogueRetrieval` is the task of a
`tfrs.Model`. All are of Keras 2, `import tf_keras as keras`. Names are imported on
first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
