import math

import numpy as np
import pytest

from cyclegan.evaluation.distances import (
    frechet_distance,
    kernel,
    kernel_inception_distance,
    project,
    sliced_wasserstein_distance,
    squared_mmd,
)

RNG = np.random.default_rng(0)


def mmd_by_loops(x, y):
    """The definition, term by term."""

    def k(one, other):
        return (sum(a * b for a, b in zip(one, other, strict=True)) / len(one) + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(one, other) for one in x for other in y) / (n * m)


def test_squared_mmd_is_the_double_loop_of_its_definition():
    x, y = RNG.normal(size=(7, 5)), RNG.normal(1, 2, size=(9, 5))
    assert squared_mmd(kernel(x, x), kernel(y, y), kernel(x, y)) == pytest.approx(mmd_by_loops(x, y), rel=1e-12)


def test_kernel_distance_of_whole_sets_is_the_double_loop():
    x, y = RNG.normal(size=(8, 3)), RNG.normal(1, 1, size=(8, 3))
    mean, spread = kernel_inception_distance(x, y, num_subsets=3)
    assert mean == pytest.approx(mmd_by_loops(x, y), rel=1e-12)
    assert spread == pytest.approx(0, abs=1e-12)


def test_kernel_distance_over_subsets_is_unbiased():
    x, y = RNG.normal(size=(60, 4)), RNG.normal(0.3, 1, size=(50, 4))
    mean, spread = kernel_inception_distance(x, y, subset_size=25, num_subsets=400)
    assert abs(mean - mmd_by_loops(x, y)) < 4 * spread / math.sqrt(400)


def test_kernel_distance_of_equal_distributions_is_about_zero():
    mean, spread = kernel_inception_distance(RNG.normal(size=(150, 8)), RNG.normal(size=(150, 8)))
    assert abs(mean) < 3 * spread


def test_the_same_seed_draws_the_same_subsets():
    x, y = RNG.normal(size=(30, 4)), RNG.normal(size=(30, 4))
    results = [kernel_inception_distance(x, y, seed, subset_size=10, num_subsets=5) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def with_moments(mean, covariance, n):
    """Points whose mean and covariance are exactly these."""
    points = RNG.normal(size=(n, len(mean)))
    points -= points.mean(axis=0)
    whitened = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_normal_distributions_is_the_closed_form():
    """Of N(0, diag(1, 4)) and N((3, 4), diag(9, 16)): 25 + (3 - 1)^2 + (4 - 2)^2 = 33."""
    x = with_moments(np.zeros(2), np.diag([1.0, 4.0]), 50)
    y = with_moments(np.array([3.0, 4.0]), np.diag([9.0, 16.0]), 70)
    assert frechet_distance(x, y) == pytest.approx(33, rel=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 60, 5), (8, 9, 20), (8, 60, 20)])
def test_frechet_distance_is_that_of_the_root_of_a_matrix(n, m, d):
    linalg = pytest.importorskip("scipy.linalg", reason="needs SciPy")
    x, y = RNG.normal(size=(n, d)), RNG.normal(1, 2, size=(m, d)) @ RNG.normal(size=(d, d))
    c_x, c_y = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(c_x.astype(complex) @ c_y).real
    means = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(c_x + c_y) - 2 * np.trace(root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_to_itself_is_zero():
    x = RNG.normal(size=(10, 30))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def swd(x, y):
    return sliced_wasserstein_distance(project(x, seed=0), project(y, seed=0))


def test_sliced_wasserstein_distance_of_shifted_points_is_the_mean_projected_shift():
    """A shift of length 2 in the plane: the mean of 2 |cos| over all directions is 4 / pi."""
    x = RNG.normal(size=(200, 2))
    assert swd(x, x + np.array([2.0, 0.0])) == pytest.approx(4 / math.pi, rel=0.1)


def test_sliced_wasserstein_distance_on_a_line_is_the_area_between_the_quantiles():
    x, y = np.array([[0.0], [1.0], [5.0]]), np.array([[2.0], [2.0], [5.0]])
    assert swd(x, y) == pytest.approx((2 + 1 + 0) / 3, rel=1e-6)


def test_sliced_wasserstein_distance_does_not_depend_on_repetition():
    x, y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3))
    assert swd(x, np.repeat(y, 3, axis=0)) == pytest.approx(swd(x, y), rel=1e-5)
