"""Images per second from file to file, compared with the network alone, and the peak memory.

    python benchmarks/translate.py FOLDER                      9 blocks, 64 filters
    python benchmarks/translate.py FOLDER --filters 8 --rounds 9
    python benchmarks/translate.py FOLDER --filters 8 --rounds 0 --repeat 10     memory only, ten times the files

The two are timed alternately in one process. The network alone is the same compiled function. It gets batches of the
same size, which have been decoded before. The networks are untrained, because their speed does not depend on the
weights.
"""

import pathlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cyclegan.bundles.bundle import Bundle


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=pathlib.Path))
@click.option("--blocks", default=9, help="Number of residual blocks of the generator. [9]")
@click.option("--filters", default=64, help="Number of filters of the generator. [64]")
@click.option("--batch-size", default=4, help="Number of images that are translated at once. [4]")
@click.option("--rounds", default=5, help="Number of timed runs of each kind. [5]")
@click.option("--repeat", default=1, help="Number of links to each image. [1]")
def main(folder: pathlib.Path, blocks: int, filters: int, batch_size: int, rounds: int, repeat: int) -> None:
    """Times the translation of all images in a folder that have the size of the first image."""
    from cyclegan.data.listing import list_images

    paths = list_images(folder)
    paths = [path for path in paths if _size(path) == _size(paths[0])]
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        bundle = _untrained_bundle(place / "bundle", blocks, filters)
        (place / "images").mkdir()
        for number, path in enumerate(paths * repeat):
            (place / "images" / f"{number}{path.suffix}").symlink_to(path.resolve())

        if not rounds:
            speed, memory = _end_to_end(bundle, place, batch_size), _peak_gigabytes()
            click.echo(f"{repeat * len(paths)} images: {speed:.3g} images/s, {memory:.3f} GB at the peak")
            return
        bare = _bare_pass(bundle, paths, batch_size)
        ratios = []
        for _ in range(rounds):
            alone, end_to_end = bare(), _end_to_end(bundle, place, batch_size)
            ratios.append(end_to_end / alone)
            click.echo(
                f"network alone {alone:.3g} images/s, end to end {end_to_end:.3g} images/s, ratio {ratios[-1]:.3f}"
            )
        median = statistics.median(ratios)
        click.echo(f"{len(paths)} images, {filters} filters, batches of {batch_size}: median ratio {median:.3f}")


def _untrained_bundle(folder: pathlib.Path, blocks: int, filters: int) -> "Bundle":
    from cyclegan.bundles.bundle import load_bundle, save_bundle
    from cyclegan.bundles.info import bundle_info
    from cyclegan.config.files import load_config
    from cyclegan.networks.generators import build_generator

    config = load_config(None, [("generator.num_blocks", blocks), ("generator.filters", filters)])
    save_bundle(folder, {"ab": build_generator(config.generator)}, bundle_info(config, step=0))
    return load_bundle(folder)


def _end_to_end(bundle: "Bundle", place: pathlib.Path, batch_size: int) -> float:
    """Translates the images in `place`, and returns the number of images per second."""
    from cyclegan.runtime.devices import device_names
    from cyclegan.translation.folder import translate_images
    from cyclegan.translation.settings import Settings

    settings = Settings("ab", batch_size=batch_size, overwrite=True)
    devices = device_names()
    report = translate_images(bundle, [place / "images"], place / "out", settings, devices=devices, say=click.echo)
    return report.images_per_second


def _bare_pass(bundle: "Bundle", paths: list[pathlib.Path], batch_size: int) -> Callable[[], float]:
    """A function that runs the network on all images, and returns the number of images per second."""
    import numpy as np

    from cyclegan.data.decoding import read_image
    from cyclegan.translation.translator import Translator

    images = [read_image(path, 3, None) for path in paths]
    batches = [np.stack(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
    network = Translator(bundle, "ab").network
    network(batches[0])  # traces

    def bare() -> float:
        start = time.perf_counter()
        for batch in batches:
            network(batch).numpy()
        return len(images) / (time.perf_counter() - start)

    return bare


def _size(path: pathlib.Path) -> tuple[int, int]:
    from cyclegan.data.headers import read_header

    header = read_header(path)
    return header.width, header.height


def _peak_gigabytes() -> float:
    """The peak memory of this process, in which all threads work."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
