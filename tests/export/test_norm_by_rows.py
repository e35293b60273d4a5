import keras
import numpy as np

from cyclegan.export.norm_by_rows import NormByRows


def test_means_by_rows_are_nearer_to_float64():
    images = np.random.default_rng(0).normal(100, 1, (1, 128, 128, 4)).astype(np.float32)
    exact = images.astype(np.float64)
    exact = (exact - exact.mean((1, 2))) / np.sqrt(exact.var((1, 2)) + 1e-5)
    errors = [
        np.abs(kind(groups=4, epsilon=1e-5)(images).numpy() - exact).max()
        for kind in (NormByRows, keras.layers.GroupNormalization)
    ]
    assert errors[0] < min(errors[1], 1e-4)
