import keras
import numpy as np
import pytest

from cyclegan.config.config import GeneratorConfig
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights


def test_reference_generator_has_11378179_parameters():
    assert build_generator(GeneratorConfig(filters=64, num_blocks=9)).count_params() == 11_378_179


@pytest.mark.parametrize("height,width", [(8, 8), (32, 48)])
def test_output_has_the_size_of_the_input_and_stays_in_range(height, width):
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, num_blocks=1), channels_in=1, channels_out=4)
    image = np.random.default_rng(0).uniform(-1, 1, (2, height, width, 1)).astype("float32")
    output = model(image).numpy()
    assert output.shape == (2, height, width, 4)
    assert np.abs(output).max() <= 1


def test_the_same_seed_draws_the_same_weights_and_no_two_layers_share_them():
    def weights():
        keras.utils.set_random_seed(7)
        return build_generator(GeneratorConfig(filters=4, num_blocks=2)).get_weights()

    first, second = weights(), weights()
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    kernels = [w for w in first if w.shape == (3, 3, 16, 16)]
    assert len(kernels) == 4
    assert not np.array_equal(kernels[0], kernels[1])


def test_kernels_are_drawn_from_normal_0_002_and_biases_are_zero():
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=32, num_blocks=2))
    kernel = model.get_layer("residual_1_conv_1").kernel.numpy()  # 147,456 numbers
    assert abs(kernel.mean()) < 5 * 0.02 / kernel.size**0.5
    assert abs(kernel.std() / 0.02 - 1) < 0.02
    assert not model.get_layer("residual_1_conv_1").bias.numpy().any()


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


def test_a_unet_has_no_norm_at_the_outermost_level_nor_at_the_bottom():
    model = build_generator(GeneratorConfig(architecture="unet", num_levels=4, filters=2, affine=True))
    norms = {layer.name for layer in model.layers if "norm" in layer.name}
    assert norms == {"down_2_norm", "down_3_norm", "up_4_norm", "up_3_norm", "up_2_norm"}


def test_dropout_of_a_unet_is_in_the_inner_levels():
    model = build_generator(GeneratorConfig(architecture="unet", num_levels=8, filters=2, dropout=0.5))
    assert {layer.name for layer in model.layers if "dropout" in layer.name} == {f"up_{n}_dropout" for n in (5, 6, 7)}


def test_with_a_sigmoid_the_network_works_between_0_and_1_and_its_surroundings_see_no_difference():
    """2 sigmoid(x) - 1 = tanh(x / 2), so half of everything in front makes a network with tanh the same."""
    keras.utils.set_random_seed(0)
    sigmoid, tanh = (build_generator(GeneratorConfig(filters=2, num_blocks=1, output=o)) for o in ("sigmoid", "tanh"))
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    weights = named_weights(sigmoid)
    for name, variable in named_weights(tanh).items():
        variable.assign(weights[name].numpy() / (2 if name.startswith("last_conv") else 1))
    # Of the first layer the norm takes off the offset of the image's values.
    first = tanh.get_layer("first_conv")
    first.kernel.assign(first.kernel / 2)
    np.testing.assert_allclose(sigmoid(image), tanh(image), atol=1e-5)


def test_default_activations_are_those_of_the_papers_and_one_value_replaces_them_all():
    def names(**options):
        model = build_generator(GeneratorConfig(filters=2, num_blocks=1, num_levels=3, **options))
        return {type(op).__name__ for op in model.operations} & {"Relu", "LeakyRelu", "Elu"}

    assert names() == {"Relu"}
    assert names(architecture="unet") == {"Relu", "LeakyRelu"}
    assert names(architecture="unet", activation="elu") == {"Elu"}
