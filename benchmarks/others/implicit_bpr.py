"""BPR of the package implicit: one iteration over the clicks of sessions."""

from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from benchmarks.others.rounds import Round, Work


def bpr_round(work: Work) -> Round:
    """Make a round of training, with a factor for each session; it has no batches."""
    settings, sessions = work.settings, work.whole_sessions()
    shape = (len(sessions), work.num_items)
    ones = (sessions.items > 0).astype("float32")
    clicks = csr_matrix((ones, sessions.items - 1, sessions.offsets), shape)
    clicks.sum_duplicates()
    model = BayesianPersonalizedRanking(
        factors=settings.dim,
        iterations=1,
        num_threads=settings.threads,
        random_state=settings.seed,
    )
    return Round(clicks.nnz, lambda: model.fit(clicks, show_progress=False))
