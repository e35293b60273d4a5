import keras
import numpy as np

from cyclegan.config.sections import GeneratorConfig
from cyclegan.networks.generators import ARCHITECTURES, build_generator
from cyclegan.networks.weights import named_weights


def test_the_table_has_the_architectures_that_the_configuration_allows(allowed):
    assert set(ARCHITECTURES) == allowed(GeneratorConfig, "architecture")


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


def test_a_sigmoid_at_the_end_is_a_tanh_for_everything_around_the_network():
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
