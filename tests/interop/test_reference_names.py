import numpy as np
import pytest

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.interop.reference_names import (
    GeneratorDescription,
    describe_discriminator,
    describe_generator,
    layers_of,
    listed,
)


def test_names_of_a_resnet_with_2_blocks_written_out():
    layers = dict(layer[::-1] for layer in layers_of(GeneratorConfig(num_blocks=2)))
    assert layers == {
        "first_conv": "model.1",
        "first_norm": "model.2",
        "down_1_conv": "model.4",
        "down_1_norm": "model.5",
        "down_2_conv": "model.7",
        "down_2_norm": "model.8",
        "residual_1_conv_1": "model.10.conv_block.1",
        "residual_1_norm_1": "model.10.conv_block.2",
        "residual_1_conv_2": "model.10.conv_block.5",
        "residual_1_norm_2": "model.10.conv_block.6",
        "residual_2_conv_1": "model.11.conv_block.1",
        "residual_2_norm_1": "model.11.conv_block.2",
        "residual_2_conv_2": "model.11.conv_block.5",
        "residual_2_norm_2": "model.11.conv_block.6",
        "up_1_conv": "model.12",
        "up_1_norm": "model.13",
        "up_2_conv": "model.15",
        "up_2_norm": "model.16",
        "last_conv": "model.19",
    }


def test_architecture_that_the_reference_does_not_have_is_refused():
    with pytest.raises(UsageError, match="must be resnet or unet or patch or pixel, .* Received: multiscale"):
        layers_of(DiscriminatorConfig(architecture="multiscale"))


def test_dropout_moves_the_second_convolution_of_a_block():
    layers = dict(layer[::-1] for layer in layers_of(GeneratorConfig(num_blocks=1, dropout=0.5)))
    assert layers["residual_1_conv_2"] == "model.10.conv_block.6"
    assert layers["residual_1_norm_2"] == "model.10.conv_block.7"


def test_names_of_a_unet_with_3_levels_written_out():
    layers = dict(layer[::-1] for layer in layers_of(GeneratorConfig(architecture="unet", num_levels=3)))
    assert layers == {
        "down_1_conv": "model.model.0",
        "down_2_conv": "model.model.1.model.1",
        "down_2_norm": "model.model.1.model.2",
        "down_3_conv": "model.model.1.model.3.model.1",
        "up_3_conv": "model.model.1.model.3.model.3",
        "up_3_norm": "model.model.1.model.3.model.4",
        "up_2_conv": "model.model.1.model.5",
        "up_2_norm": "model.model.1.model.6",
        "up_1_conv": "model.model.3",
    }


def test_names_of_discriminators_written_out():
    patch = dict(layer[::-1] for layer in layers_of(DiscriminatorConfig(num_layers=2)))
    assert patch == {"conv_0": "model.0", "conv_1": "model.2", "norm_1": "model.3", "conv_2": "model.5",
                     "norm_2": "model.6", "scores": "model.8"}  # fmt: skip
    pixel = dict(layer[::-1] for layer in layers_of(DiscriminatorConfig(architecture="pixel")))
    assert pixel == {"conv_0": "net.0", "conv_1": "net.2", "norm_1": "net.3", "scores": "net.5"}


def resnet(*, blocks=2, filters=4, channels=(3, 3), second=5, bias=True, **extra):
    """Weights with the names and shapes that matter for the description."""
    last = f"model.{17 + blocks}"
    arrays = {"model.1.weight": (filters, channels[0], 7, 7), f"{last}.weight": (channels[1], filters, 7, 7)}
    for block in range(10, 10 + blocks):
        for place in (1, second):
            arrays[f"model.{block}.conv_block.{place}.weight"] = (4 * filters, 4 * filters, 3, 3)
    if bias:
        arrays["model.1.bias"] = (filters,)
    return {name: np.zeros(shape, "float32") for name, shape in (arrays | extra).items()}


@pytest.mark.parametrize(
    "options,config,channels",
    [
        ({"blocks": 9, "filters": 64}, {"filters": 64, "num_blocks": 9}, (3, 3)),
        ({"blocks": 12, "channels": (1, 4)}, {"filters": 4, "num_blocks": 12}, (1, 4)),
        ({"second": 6}, {"filters": 4, "num_blocks": 2, "dropout": 0.5}, (3, 3)),
        (
            {"bias": False, "model.2.weight": (4,), "model.2.running_mean": (4,)},
            {"filters": 4, "num_blocks": 2, "normalization": "batch"},
            (3, 3),
        ),
        ({"bias": False}, {"filters": 4, "num_blocks": 2, "normalization": "none"}, (3, 3)),
        ({"model.2.running_mean": (4,)}, {"filters": 4, "num_blocks": 2}, (3, 3)),  # old instance norm
        ({"model.2.weight": (4,)}, {"filters": 4, "num_blocks": 2, "affine": True}, (3, 3)),
    ],
)
def test_names_and_shapes_describe_a_resnet(options, config, channels):
    assert describe_generator(resnet(**options), "x") == GeneratorDescription(GeneratorConfig(**config), *channels)


def depthwise_separable():
    """A generator with one block, whose two convolutions are a depthwise and a pointwise one with a norm between."""
    arrays = {name: array for name, array in resnet(blocks=1).items() if "conv_block" not in name}
    for place in (1, 6):
        arrays[f"model.10.conv_block.{place}.conv.0.weight"] = np.zeros((16, 1, 3, 3), "float32")
        arrays[f"model.10.conv_block.{place}.conv.0.bias"] = np.zeros(16, "float32")
        arrays[f"model.10.conv_block.{place}.conv.2.weight"] = np.zeros((16, 16, 1, 1), "float32")
        arrays[f"model.10.conv_block.{place}.conv.2.bias"] = np.zeros(16, "float32")
    return arrays


def test_depthwise_separable_blocks_are_refused_with_their_true_cause():
    with pytest.raises(UsageError, match=r"^x has depthwise-separable residual blocks, .* `conv_block\.1\.conv\.0` has"
                       r" shape \(16, 1, 3, 3\)\. cyclegan does not have such blocks"):  # fmt: skip
        describe_generator(depthwise_separable(), "x")


def test_a_block_whose_convolutions_have_other_names_is_refused_with_these_names():
    arrays = {name.replace(".weight", ".conv.weight"): array for name, array in resnet(blocks=1).items()}
    with pytest.raises(UsageError, match=r"Received: 1\.conv; 5\.conv\."):
        describe_generator(arrays, "x")


def test_weights_of_other_networks_are_refused_by_name():
    discriminator = {f"model.{place}.weight": np.zeros((1, 1, 4, 4)) for place in (0, 2, 5, 8)}
    with pytest.raises(UsageError, match=r"x is not a generator .* it is a discriminator \(patch\)"):
        describe_generator(discriminator, "x")
    with pytest.raises(UsageError, match=r"neither residual blocks nor the levels of a unet, but `encoder.weight`"):
        describe_generator({"encoder.weight": np.zeros((1, 1, 3, 3))}, "x")
    with pytest.raises(UsageError, match="must be its modules 1 and 5, or 1 and 6 with dropout. Received: 0 and 3"):
        describe_generator({f"model.10.conv_block.{place}.weight": np.zeros((4, 4, 3, 3)) for place in (0, 3)}, "x")
    without_end = resnet()
    del without_end["model.19.weight"]
    with pytest.raises(UsageError, match="no convolution `model.19.weight`"):
        describe_generator(without_end, "x")
    assert describe_discriminator(resnet()) is None


def test_names_from_a_file_stay_in_one_line():
    assert listed(["`a\nb`", "`c`"]) == "`a b`; `c`"
    assert listed("x" * 23) == "; ".join([*"x" * 20, "3 more"])
