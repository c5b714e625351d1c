"""Bayesian optimisation with a Gaussian process, over points that no trial has."""

import warnings
from typing import Any

import numpy as np
import threadpoolctl
from keras_tuner.engine.trial import TrialStatus
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from hln_tf.common.settings import Range
from tuning.oracle import SearchOracle

# Candidates whose expected improvement is compared: random ones, and those near the best trials.
RANDOM_CANDIDATES, LOCAL_CANDIDATES = 1000, 250
# Trials whose neighbourhoods have candidates, and the standard deviation of their distance.
CENTRES, DISTANCE = 5, 0.1


class BayesianOracle(SearchOracle):
    """Oracle that maximises the expected improvement under a Gaussian process.

    The process is fitted to the scores of the trials that have ended; a failed trial
    counts as the worst of them, and a running one as its predicted mean (Ginsbourger
    et al. 2010). The candidates are points of the search space itself, integers and
    choices included, so that none is proposed twice; a choice has a coordinate for
    each of its values. The first third of the trials, at least three and at most
    three for each hyperparameter, is random.

    It replaces KerasTuner's, which rounds the optimum of a continuous space: on few
    values it proposes the same point again and again.
    """

    def propose(self, trial_id: str) -> dict[str, Any] | None:
        """Return the untried point with the largest expected improvement; None without any."""
        ended = [self.trials[each] for each in self.end_order]
        scores = [each.score for each in ended if each.status == TrialStatus.COMPLETED]
        dimensions = len(self.plan.space.hyperparameters)
        num_random = min(3 * dimensions, max(3, self.max_trials // 3))
        if len(scores) < num_random:
            return super().propose(trial_id)
        random = self.random(trial_id)
        candidates = self._candidates(random)
        if not candidates:
            return None
        worst = min(scores)
        y = np.array([worst if each.score is None else each.score for each in ended])
        # Trials that diverged say nothing about the differences between good ones.
        y = np.maximum(y, 2 * np.median(y) - y.max())
        running = [each for each in self.trials.values() if each.trial_id not in self.end_order]
        x = self._coordinates([each.hyperparameters.values for each in ended + running])
        seed = int(random.integers(2**31))
        with threadpoolctl.threadpool_limits(1):  # many small products: threads only wait
            improvement = expected_improvement(x, y, self._coordinates(candidates), seed)
        best_first = (candidates[n] for n in np.argsort(-improvement, kind="stable"))
        return next(filter(self.plan.space.is_allowed, best_first), None)

    def _candidates(self, random: np.random.Generator) -> list[dict[str, Any]]:
        """Return points that no trial has: random ones, and some near the best trials."""
        space, tried = self.plan.space, self.tried()
        best = [each.hyperparameters.values for each in self.get_best_trials(CENTRES)]
        centres = np.array([space.units(space.values(values)) for values in best])
        units = random.uniform(size=[RANDOM_CANDIDATES + LOCAL_CANDIDATES, centres.shape[1]])
        near = centres[random.integers(len(centres), size=LOCAL_CANDIDATES)]
        near = near + random.normal(scale=DISTANCE, size=near.shape)
        # Now and then a coordinate is random: else a choice would never change.
        is_moved = random.uniform(size=near.shape) > 1 / near.shape[1]
        local = units[:LOCAL_CANDIDATES]
        local[is_moved] = np.clip(near[is_moved], 0, np.nextafter(1, 0))
        points = {space.key(point): point for point in map(space.point, units)}
        return [point for key, point in points.items() if key not in tried]

    def _coordinates(self, points: list[dict[str, Any]]) -> np.ndarray:
        """Return the coordinates of points for the process, [points, coordinates]."""
        space = self.plan.space
        rows = []
        for values in map(space.values, points):
            row: list[float] = []
            for each, unit in zip(space.hyperparameters, space.units(values), strict=True):
                if isinstance(each.domain, Range):
                    row.append(unit)
                else:
                    row += [float(values.get(each.name) == choice) for choice in each.choices]
            rows.append(row)
        return np.array(rows)


def expected_improvement(
    x: np.ndarray, y: np.ndarray, candidates: np.ndarray, seed: int
) -> np.ndarray:
    """Compute the expected improvement of candidates over the best predicted mean.

    Args:
      x: Coordinates of the trials that have ended, then of those that run, [trials,
        coordinates].
      y: Scores of those that have ended, [ended trials].
      candidates: Coordinates of the candidates, [candidates, coordinates].
      seed: Fixes the restarts of the fit.

    Returns:
      In units of the scores, [candidates].
    """
    scales = np.full(x.shape[1], 0.5)
    kernel = kernels.ConstantKernel(1.0, (0.05, 20.0)) * kernels.Matern(
        scales, (0.1, 10.0), nu=2.5
    ) + kernels.WhiteKernel(0.01, (1e-5, 1.0))
    process = GaussianProcessRegressor(
        kernel, normalize_y=True, n_restarts_optimizer=2, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the bounds of the scales
        process.fit(x[: len(y)], y)
    best = process.predict(x[: len(y)]).max()
    if len(x) > len(y):
        believed = np.concatenate([y, process.predict(x[len(y) :])])
        process = GaussianProcessRegressor(process.kernel_, normalize_y=True, optimizer=None)
        process.fit(x, believed)
    mean, deviation = process.predict(candidates, return_std=True)
    deviation = np.maximum(deviation, 1e-12)
    z = (mean - best) / deviation
    return deviation * (z * norm.cdf(z) + norm.pdf(z))
