"""Distances between two sets of images, as functions of their features or of their patches. Smaller is better.

Nothing here knows where the arrays come from. Distances of features are computed in float64.
"""

import numpy as np

SUBSET_SIZE = 100
"""KID compares subsets of at most so many images."""

NUM_SUBSETS = 100
NUM_PROJECTIONS = 128


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The polynomial kernel of KID: (x . y / d + 1)^3.

    Args:
        x: features [n, d].
        y: features [m, d].

    Returns:
        float64 [n, m].
    """
    values: np.ndarray = (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3
    return values


def squared_mmd(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy, which can be below 0.

    Source: Gretton et al. 2012, eq. 3.

    Args:
        xx: the kernel of each two items of the first set [n, n], n at least 2.
        yy: the same for the second set [m, m].
        xy: the kernel of each item of the first set and each of the second [n, m].
    """
    n, m = xy.shape
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def kernel_inception_distance(
    x: np.ndarray, y: np.ndarray, seed: int = 0, subset_size: int = SUBSET_SIZE, num_subsets: int = NUM_SUBSETS
) -> tuple[float, float]:
    """The kernel distance between two sets of features: its mean and its standard deviation over random subsets.

    With the features of the Inception network of 2015 this is KID.

    Source: Binkowski et al. 2018, section 3.

    Args:
        x: features [n, d], n at least 2.
        y: features [m, d], m at least 2.
        seed: draws the subsets.
        subset_size: the size of the subsets; smaller if a set has fewer images.
        num_subsets: how many pairs of subsets are compared.
    """
    size = min(subset_size, len(x), len(y))
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(num_subsets):
        i, j = draw.choice(len(x), size, replace=False), draw.choice(len(y), size, replace=False)
        found.append(squared_mmd(xx[np.ix_(i, i)], yy[np.ix_(j, j)], xy[np.ix_(i, j)]))
    return float(np.mean(found)), float(np.std(found))


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The Frechet distance between the normal distributions with the means and covariances of two sets of features.

        |m_x - m_y|^2 + trace(C_x + C_y - 2 (C_x C_y)^(1/2))

    With the features of the Inception network of 2015 this is FID. It depends on the number of images: with few of them
    it is too large.

    Source: Heusel et al. 2017, eq. 6. Where A and B are the centred features, divided by the root of n - 1 and m - 1,
    the trace of the root is the sum of the singular values of A B'. So no matrix of d x d is needed.

    Args:
        x: features [n, d], n at least 2.
        y: features [m, d], m at least 2.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    traces = (a**2).sum() + (b**2).sum()
    if len(a) > a.shape[1]:
        a = np.linalg.qr(a, mode="r")
    if len(b) > b.shape[1]:
        b = np.linalg.qr(b, mode="r")
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + traces - 2 * root)


def project(points: np.ndarray, seed: int) -> np.ndarray:
    """Points on 128 lines through 0, whose directions depend on the seed and on the number of dimensions alone.

    Args:
        points: [..., d].
        seed: draws the directions.

    Returns:
        float32 [128, ...].
    """
    directions = np.random.default_rng(seed).normal(size=(points.shape[-1], NUM_PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    projected: np.ndarray = np.moveaxis(points.astype(np.float32) @ directions.astype(np.float32), -1, 0)
    return projected


def sliced_wasserstein_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The mean over lines of the Wasserstein distance of two sets of points that are projected to these lines.

    Source: Rabin et al. 2011, and Karras et al. 2018, section 5, for patches of images.

    Args:
        x: [lines, n], from `project`.
        y: [lines, m], from `project` with the same seed.
    """
    # The distance on a line is the mean distance of the quantiles.
    size = min(x.shape[1], y.shape[1])
    quantiles = (np.arange(size) + 0.5) / size
    first, second = (np.sort(values, axis=1)[:, (quantiles * values.shape[1]).astype(int)] for values in (x, y))
    return float(np.abs(first - second).mean(dtype=np.float64))
