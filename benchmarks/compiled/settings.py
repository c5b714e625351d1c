"""Settings of the emitted programs. Imports no TensorFlow and nothing of hln_tf."""

import dataclasses

PRECISIONS = ("float32", "tf32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class EmitSettings:
    """Sizes of the emitted programs; the defaults are the paper's on Yoochoose 1/64.

    Attributes:
      items: Size of the catalogue.
      embedding_dim: Size d of the item embeddings.
      hidden_dim: Size n of a preference.
      num_groups: Number L of preference groups.
      k: Length of a recommendation.
      batch_size: Batch sizes.
      length: Lengths of the sessions.
      precision: Precisions of the matrix products.
      unrolled: Whether the training step is written with unrolled recurrence too.
    """

    items: int = 37_483
    embedding_dim: int = 100
    hidden_dim: int = 200
    num_groups: int = 3
    k: int = 20
    batch_size: tuple[int, ...] = (64, 256, 1024)
    length: tuple[int, ...] = (8,)
    precision: tuple[str, ...] = PRECISIONS
    unrolled: bool = False
