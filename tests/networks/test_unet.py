import keras
import numpy as np
import pytest

from cyclegan.config.networks import GeneratorConfig
from cyclegan.networks.generators import build_generator


def test_a_unet_of_8_levels_has_the_parameters_of_its_convolutions():
    shapes = [(3, 64), (64, 128), (128, 256), (256, 512), *[(512, 512)] * 4]  # down
    shapes += [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]  # up
    expected = sum(16 * inner * outer + outer for inner, outer in shapes)
    assert build_generator(GeneratorConfig(architecture="unet", num_levels=8)).count_params() == expected


def test_the_unet_of_the_pix2pix_paper_has_54413955_trained_parameters():
    model = build_generator(GeneratorConfig(architecture="unet", num_levels=8, normalization="batch"))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 54_413_955


@pytest.mark.parametrize("num_levels", [2, 3, 5])
@pytest.mark.parametrize("channels", [(1, 4), (4, 1), (3, 3)])
def test_a_unet_of_any_depth_and_channels_keeps_the_size(num_levels, channels):
    config = GeneratorConfig(architecture="unet", num_levels=num_levels, filters=2)
    model = build_generator(config, *channels)
    height, width = config.min_size, 3 * config.size_multiple
    image = np.random.default_rng(0).uniform(-1, 1, (2, height, width, channels[0])).astype("float32")
    assert model(image).shape == (2, height, width, channels[1])


def test_a_unet_has_no_norm_at_its_outermost_level_nor_in_its_innermost_encoder():
    model = build_generator(GeneratorConfig(architecture="unet", num_levels=4, filters=2, affine=True))
    norms = {layer.name for layer in model.layers if "norm" in layer.name}
    assert norms == {"down_2_norm", "down_3_norm", "up_4_norm", "up_3_norm", "up_2_norm"}


def test_dropout_of_a_unet_is_in_the_inner_levels():
    model = build_generator(GeneratorConfig(architecture="unet", num_levels=8, filters=2, dropout=0.5))
    assert {layer.name for layer in model.layers if "dropout" in layer.name} == {f"up_{n}_dropout" for n in (5, 6, 7)}


def test_the_padding_of_a_resnet_does_not_concern_a_unet():
    outputs = []
    for padding in ("reflect", "zero"):
        keras.utils.set_random_seed(0)
        config = GeneratorConfig(
            architecture="unet", num_levels=2, filters=2, upsampling="nearest", downsampling="max", padding=padding
        )
        outputs.append(build_generator(config)(np.ones((1, 8, 8, 3), "float32")))
    np.testing.assert_array_equal(*outputs)
