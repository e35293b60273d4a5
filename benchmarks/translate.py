"""Images per second from file to file against the bare forward pass, in turn in one process; and the peak memory.

    python benchmarks/translate.py FOLDER                      9 blocks, 64 filters
    python benchmarks/translate.py FOLDER --filters 8 --rounds 9
    python benchmarks/translate.py FOLDER --filters 8 --rounds 0 --repeat 10     the memory for ten times as many files

The bare pass is the same compiled function on batches of the same size, decoded before. The networks are untrained:
their time does not depend on the weights.
"""

import dataclasses
import pathlib
import resource
import statistics
import tempfile
import time

import click


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=pathlib.Path))
@click.option("--blocks", default=9, help="Residual blocks of the generator.")
@click.option("--filters", default=64, help="Filters of the generator.")
@click.option("--batch-size", default=4, help="Images that are translated at once.")
@click.option("--rounds", default=5, help="Timed runs of each kind.")
@click.option("--repeat", default=1, help="Links to each image.")
def main(folder: pathlib.Path, blocks: int, filters: int, batch_size: int, rounds: int, repeat: int) -> None:
    """Times the translation of all images of a folder that have the size of the first."""
    import numpy as np

    from cyclegan.bundle import bundle_info, load_bundle, save_bundle
    from cyclegan.config.files import load_config
    from cyclegan.data.decoding import read_header, read_image
    from cyclegan.data.listing import list_images
    from cyclegan.networks.generators import build_generator
    from cyclegan.runtime.devices import device_names
    from cyclegan.translation.folder import translate_images
    from cyclegan.translation.settings import Settings
    from cyclegan.translation.translator import Translator

    config = load_config(None, [("generator.num_blocks", blocks), ("generator.filters", filters)])
    paths = list_images(folder)
    paths = [path for path in paths if dataclasses.astuple(read_header(path))[:2] == _size(paths[0])]
    settings = Settings("ab", batch_size=batch_size, overwrite=True)
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        save_bundle(place / "bundle", {"ab": build_generator(config.generator)}, bundle_info(config, step=0))
        bundle = load_bundle(place / "bundle")
        (place / "images").mkdir()
        for number, path in enumerate(paths * repeat):
            (place / "images" / f"{number}{path.suffix}").symlink_to(path.resolve())

        def end_to_end() -> float:
            devices = device_names()
            report = translate_images(
                bundle, [place / "images"], place / "out", settings, devices=devices, say=click.echo
            )
            return report.images_per_second

        if not rounds:
            click.echo(
                f"{repeat * len(paths)} images: {end_to_end():.3g} images/s, {_peak_gigabytes():.3f} GB at the peak"
            )
            return
        images = [read_image(path, 3, None) for path in paths]
        batches = [np.stack(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
        network = Translator(bundle, "ab").network

        def bare() -> float:
            start = time.perf_counter()
            for batch in batches:
                network(batch).numpy()
            return len(images) / (time.perf_counter() - start)

        network(batches[0])
        ratios = []
        for _ in range(rounds):
            speeds = bare(), end_to_end()
            ratios.append(speeds[1] / speeds[0])
            click.echo(f"bare {speeds[0]:.3g} images/s, end to end {speeds[1]:.3g} images/s, ratio {ratios[-1]:.3f}")
        click.echo(
            f"{len(images)} images, {filters} filters, batches of {batch_size}: median {statistics.median(ratios):.3f}"
        )


def _size(path: pathlib.Path) -> tuple[int, int]:
    from cyclegan.data.decoding import read_header

    header = read_header(path)
    return header.width, header.height


def _peak_gigabytes() -> float:
    """Of this process, in which all threads work."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
