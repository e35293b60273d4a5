import keras
import numpy as np
import pytest

from cyclegan.config.networks import DiscriminatorConfig
from cyclegan.networks.discriminators import ARCHITECTURES, build_discriminator


def test_the_table_has_the_architectures_that_the_configuration_allows(allowed):
    assert set(ARCHITECTURES) == allowed(DiscriminatorConfig, "architecture")


def test_reference_discriminator_has_2764737_parameters():
    assert build_discriminator(DiscriminatorConfig(filters=64, num_layers=3)).count_params() == 2_764_737


@pytest.mark.parametrize(
    "num_layers,size,scores", [(3, 256, 30), (3, 128, 14), (2, 64, 14), (1, 32, 14), (4, 256, 14), (5, 256, 6)]
)
def test_size_of_the_score_map(num_layers, size, scores):
    model = build_discriminator(DiscriminatorConfig(filters=2, num_layers=num_layers))
    assert model(np.zeros((1, size, size, 3), "float32")).shape == (1, scores, scores, 1)


def test_pixel_scores_depend_on_one_pixel_but_for_the_norm():
    keras.utils.set_random_seed(0)
    model = build_discriminator(DiscriminatorConfig(architecture="pixel", filters=4, normalization="none"), channels=1)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 5, 7, 1)).astype("float32")
    scores = model(image).numpy()
    image[0, 2, 3] += 0.5
    changed = model(image).numpy() != scores
    assert scores.shape == (1, 5, 7, 1) and changed.sum() == changed[0, 2, 3, 0] == 1


@pytest.mark.parametrize("num_scales", [2, 3])
def test_multiscale_is_a_patch_discriminator_for_the_image_and_for_its_halves(num_scales):
    keras.utils.set_random_seed(0)
    patch = build_discriminator(DiscriminatorConfig(filters=2, num_layers=2), dtype="float64")
    multiscale = build_discriminator(
        DiscriminatorConfig(architecture="multiscale", filters=2, num_layers=2, num_scales=num_scales), dtype="float64"
    )
    assert multiscale.count_params() == num_scales * patch.count_params()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 96, 3))
    for scale, scores in enumerate(multiscale(image), start=1):
        for layer in patch.layers:
            if layer.weights:
                layer.set_weights(multiscale.get_layer(f"scale_{scale}_{layer.name}").get_weights())
        np.testing.assert_allclose(scores, patch(image), atol=1e-12)
        corners = [image[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        image = sum(corners) / 4


def test_spectral_norm_adds_a_vector_to_each_convolution_and_trains_no_other_weights():
    plain, normed = (
        build_discriminator(DiscriminatorConfig(filters=2, spectral_norm=is_on)) for is_on in (False, True)
    )
    assert [v.path for v in plain.trainable_variables] == [v.path for v in normed.trainable_variables]
    assert len(normed.non_trainable_variables) == 5
