"""A new run that starts from trained generators."""

import pathlib

from cyclegan.bundles.bundle import Bundle, load_bundle
from cyclegan.config.config import Config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.training.state import State, set_averages


def load_start(config: Config, path: str | pathlib.Path) -> Bundle:
    """The bundle that the generators of a new run can start from.

    Args:
        config: the configuration of the new run.
        path: a run or a bundle.

    Raises:
        UsageError: if `path` holds no bundle, or generators of another architecture.
    """
    bundle = load_bundle(path)
    info = bundle.info

    def described(generator: GeneratorConfig, channels_a: int, channels_b: int) -> dict[str, object]:
        keys = {f"generator.{key}": value for key, value in generator.structure().items()}
        return keys | {"data.channels_a": channels_a, "data.channels_b": channels_b}

    wanted = described(config.generator, config.data.channels_a, config.data.channels_b)
    held = described(info.generator, info.channels_a, info.channels_b)
    different = [key for key in held if held[key] != wanted.get(key)]
    if different:
        listed = ", ".join(f"{key}={wanted.get(key)}" for key in different)
        settings = " ".join(f"--set {key}={held[key]}" for key in different)
        raise UsageError(
            f"The generators in `--init-from {path}` are not those that the configuration asks for. To start from them,"
            f" give {settings}. Received: {listed}."
        )
    return bundle


def start_from_bundle(state: State, bundle: Bundle) -> str:
    """Gives the generators of a new run the weights of a bundle. Returns a line that says so."""
    info = bundle.info
    for direction, generator in (("ab", state.generator_ab), ("ba", state.generator_ba)):
        if direction in info.weights:
            generator.set_weights(bundle.generator(direction).get_weights())
    set_averages(state)
    return (
        f"Generators ({', '.join(sorted(info.weights))}) start from {bundle.folder}, step {info.provenance.step};"
        " discriminators and optimizers start fresh."
    )
