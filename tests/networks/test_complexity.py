import pytest

from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.networks.complexity import multiply_adds
from cyclegan.networks.discriminators import build_discriminator
from cyclegan.networks.generators import build_generator


def test_the_reference_generator_needs_49_6_gmac_and_56_8_as_profilers_count():
    found = multiply_adds(build_generator(GeneratorConfig()), 256, 256)
    assert found / 1e9 == pytest.approx(49.6, abs=0.05)
    # Profilers count a transposed convolution as if it computed each output pixel from a whole kernel.
    transposed = 64 * 64 * 9 * 256 * 128 + 128 * 128 * 9 * 128 * 64
    assert (found + 3 * transposed) / 1e9 == pytest.approx(56.8, abs=0.1)


def test_a_small_generator_counted_by_hand():
    convolutions = [
        16 * 24 * 49 * 3 * 2,  # first
        8 * 12 * 9 * 2 * 4,  # down 1
        4 * 6 * 9 * 4 * 8,  # down 2
        2 * 4 * 6 * 9 * 8 * 8,  # one residual block
        4 * 6 * 9 * 8 * 4,  # up 1: each input pixel meets the kernel once
        8 * 12 * 9 * 4 * 2,  # up 2
        16 * 24 * 49 * 2 * 3,  # last
    ]
    model = build_generator(GeneratorConfig(filters=2, num_blocks=1))
    assert multiply_adds(model, 16, 24) == sum(convolutions)


def test_a_discriminator_with_blur_pooling_counted_by_hand():
    model = build_discriminator(DiscriminatorConfig(filters=2, num_layers=1, downsampling="blur"), channels=1)
    # 3x3 at full size, blur, 4x4 to 7x7, 4x4 to 6x6.
    assert multiply_adds(model, 16, 16) == 256 * 9 * 2 + 64 * 9 * 2 + 49 * 16 * 2 * 4 + 36 * 16 * 4
