import numpy as np

from cyclegan.training.reporting.samples import image_grid


def test_grid_lays_images_in_rows_with_white_lines_around():
    black, white = np.full((2, 2, 3), -1.0), np.full((2, 2, 3), 1.0)
    grey = np.zeros((2, 2, 1))
    grid = image_grid([[black, white], [grey, black]])
    assert grid.shape == (10, 10, 3) and grid.dtype == np.uint8
    assert (grid[2:4, 2:4] == 0).all()
    assert (grid[2:4, 6:8] == 255).all()
    assert (grid[6:8, 2:4] == 128).all()  # 127.5 rounds to even
    assert (grid[:2] == 255).all() and (grid[4:6] == 255).all() and (grid[:, 8:] == 255).all()
