import keras
import numpy as np
import pytest

from cyclegan.config.networks import GENERATORS, GeneratorConfig
from cyclegan.networks.generators import ARCHITECTURES, build_generator
from cyclegan.networks.weights import named_weights


def test_the_table_has_the_architectures_that_the_configuration_allows(allowed):
    assert set(ARCHITECTURES) == set(GENERATORS) == allowed(GeneratorConfig, "architecture")


def weights_of_seed_7():
    keras.utils.set_random_seed(7)
    return build_generator(GeneratorConfig(filters=4, num_blocks=2)).get_weights()


def test_the_same_seed_draws_the_same_weights():
    for one, other in zip(weights_of_seed_7(), weights_of_seed_7(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_two_layers_have_the_same_weights():
    kernels = [weights for weights in weights_of_seed_7() if weights.shape == (3, 3, 16, 16)]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 4


def test_kernels_are_drawn_from_normal_0_002_and_biases_are_zero():
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=32, num_blocks=2))
    kernel = model.get_layer("residual_1_conv_1").kernel.numpy()  # 147,456 numbers
    assert abs(kernel.mean()) < 5 * 0.02 / kernel.size**0.5
    assert abs(kernel.std() / 0.02 - 1) < 0.02
    assert not model.get_layer("residual_1_conv_1").bias.numpy().any()


def test_a_sigmoid_at_the_end_is_a_tanh_for_everything_around_the_network():
    """Since 2 sigmoid(x) - 1 = tanh(x / 2), halving the last weights makes a network with tanh the same."""
    keras.utils.set_random_seed(0)
    sigmoid, tanh = (build_generator(GeneratorConfig(filters=2, num_blocks=1, output=o)) for o in ("sigmoid", "tanh"))
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    weights = named_weights(sigmoid)
    for name, variable in named_weights(tanh).items():
        variable.assign(weights[name].numpy() / (2 if name.startswith("last_conv") else 1))
    # The values of the image differ by a factor and an offset, and the first norm removes the offset.
    first = tanh.get_layer("first_conv")
    first.kernel.assign(first.kernel / 2)
    np.testing.assert_allclose(sigmoid(image), tanh(image), atol=1e-5)


@pytest.mark.parametrize("options", [{"num_blocks": 1}, {"architecture": "unet", "num_levels": 3}])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_network_that_begins_as_a_copy_makes_its_input_with_a_little_less_contrast(options, dtype):
    keras.utils.set_random_seed(0)
    model = build_generator(GeneratorConfig(filters=4, start="copy", **options), dtype=dtype)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    image[0, 0, 0], image[0, 0, 1] = 1, -1
    np.testing.assert_allclose(model(image), 0.97 * image, atol=1e-6)
    zero = [name for name, variable in named_weights(model).items() if not variable.numpy().any()]
    assert [name for name in zero if name.endswith("/kernel")] == [zero[-2]]  # that of the last convolution alone


def test_a_copy_learns_by_what_is_added_to_the_image():
    """With another bias b of the last convolution, each pixel is the tanh of the sum of both."""
    model = build_generator(GeneratorConfig(filters=2, num_blocks=1, start="copy"))
    named_weights(model)["last_conv/bias"].assign([0.1, 0.2, -0.3])
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    expected = np.tanh(np.arctanh(0.97 * image) + np.array([0.1, 0.2, -0.3]))
    np.testing.assert_allclose(model(image), expected, atol=1e-6)


@pytest.mark.parametrize(
    "options,expected",
    [
        ({"architecture": "resnet"}, {"Relu"}),
        ({"architecture": "unet"}, {"Relu", "LeakyRelu"}),
        ({"architecture": "unet", "activation": "elu"}, {"Elu"}),
    ],
)
def test_activations_are_those_of_the_papers_or_the_one_that_is_set(options, expected):
    model = build_generator(GeneratorConfig(filters=2, num_blocks=1, num_levels=3, **options))
    assert {type(operation).__name__ for operation in model.operations} & {"Relu", "LeakyRelu", "Elu"} == expected
