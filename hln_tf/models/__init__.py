"""The models: scorers of sessions against all items.

They are models of Keras 2, `import tf_keras as keras`. All take `num_items` and their
settings by keyword, which `help` lists for each:

- `HLN`: Hierarchical Leaping Networks.
- `GRU4Rec`, `NARM`, `STAMP`, `SRGNN`, `NISER`, `SASRec`, `CSRM`, `FPMC`, `BPRMF`: trained
  baselines.
- `Popularity`, `SPop`, `Markov`, `AssociationRules`, `SequentialRules`, `SKNN`, `VSKNN`,
  `STAN`: baselines that count sessions in `fit`.
- `Ensemble`: several models as one.
- `SessionEncoder`, `SessionCounter`: the bases for models of one's own, both
  a `SessionScorer`; `hln_tf.register_model` makes one known to the commands.

Names are imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
