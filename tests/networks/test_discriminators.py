import numpy as np
import pytest

from cyclegan.config import DiscriminatorConfig
from cyclegan.networks.discriminators import build_discriminator


def test_reference_discriminator_has_2764737_parameters():
    assert build_discriminator(DiscriminatorConfig(filters=64, num_layers=3)).count_params() == 2_764_737


@pytest.mark.parametrize("num_layers,size,scores", [(3, 256, 30), (3, 128, 14), (2, 64, 14), (1, 32, 14)])
def test_size_of_the_score_map(num_layers, size, scores):
    model = build_discriminator(DiscriminatorConfig(filters=2, num_layers=num_layers))
    assert model(np.zeros((1, size, size, 3), "float32")).shape == (1, scores, scores, 1)
