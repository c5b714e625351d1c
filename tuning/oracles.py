"""The oracle of a search, by the name of its algorithm."""

from collections.abc import Callable

from keras_tuner.engine.trial import Trial

from tuning.bayesian import BayesianOracle
from tuning.hyperband import HyperbandOracle
from tuning.oracle import SearchOracle
from tuning.plan import Plan

_KINDS = {"bayesian": BayesianOracle, "hyperband": HyperbandOracle, "random": SearchOracle}


def create_oracle(plan: Plan, on_end: Callable[[Trial], None] = lambda trial: None) -> SearchOracle:
    """Create the oracle of a search and restore its state if there is one.

    Args:
      plan: The search.
      on_end: Called with each trial that has ended.

    Raises:
      HlnError: The file of the state is damaged.
    """
    oracle: SearchOracle = _KINDS[plan.settings.tuner](plan, on_end)
    oracle.reload()
    return oracle
