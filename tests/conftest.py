import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real and awkward images that are not part of the repository."""
    beside_checkout = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("CYCLEGAN_SHARED_DIR", beside_checkout))
    if not folder.is_dir():
        pytest.skip(f"needs the images in {folder} (another place: set CYCLEGAN_SHARED_DIR)")
    return folder


@pytest.fixture(scope="session")
def make_bundle():
    """A function that writes a bundle into a folder. TensorFlow is imported only by tests that use it."""
    import keras

    from cyclegan.bundles.bundle import Bundle, load_bundle, save_bundle
    from cyclegan.bundles.info import BundleInfo, Provenance
    from cyclegan.config.networks import GeneratorConfig
    from cyclegan.networks.generators import build_generator

    def make(folder: Path, channels_a: int = 3, channels_b: int = 3, **changes) -> Bundle:
        """Tiny, untrained, but far from the identity and from a constant."""
        keras.utils.set_random_seed(changes.pop("seed", 1))
        config = GeneratorConfig(filters=4, num_blocks=1)
        generators = {
            "ab": build_generator(config, channels_a, channels_b),
            "ba": build_generator(config, channels_b, channels_a),
        }
        info = BundleInfo(
            generator=config,
            channels_a=channels_a,
            channels_b=channels_b,
            crop_size=64,
            value_range=changes.pop("value_range", None),
            max_pixels=changes.pop("max_pixels", 100_000_000),
            size_multiple=4,
            min_size=8,
            provenance=Provenance(dataset="none", step=0, config={}, versions={}),
        )
        save_bundle(folder, generators, info)
        return load_bundle(folder)

    return make
