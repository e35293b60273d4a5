"""Times the input of a training: how long an epoch of batches takes without the networks, and the peak of the memory.

    python benchmarks/input.py FOLDER                     FOLDER holds trainA and trainB
    python benchmarks/input.py FOLDER --cache-dir DIR     with the cache of images in DIR

Start it with an empty DIR to see what the cache costs in the first epoch and saves in the second one.
"""

import pathlib
import resource
import sys
import time

import click


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--cache-dir", type=click.Path(path_type=pathlib.Path), help="Keep large images here.")
@click.option("--epochs", default=2, help="Number of epochs.")
@click.option("--load-size", default=286, help="Images are resized to this many pixels.")
@click.option("--crop-size", default=256, help="The views have this many pixels.")
def main(folder: str, cache_dir: pathlib.Path | None, epochs: int, load_size: int, crop_size: int) -> None:
    """Time the batches of a training on the images in FOLDER."""
    from cyclegan.config.sections import DataConfig
    from cyclegan.data.batches import Share, build_pipeline, build_readers
    from cyclegan.data.sources import resolve_source

    config = DataConfig(dataset=str(pathlib.Path(folder).resolve()), load_size=load_size, crop_size=crop_size)
    source = resolve_source(config, pathlib.Path(), click.echo)
    num_steps = source.epoch_size
    readers = build_readers(source, config, 0, click.echo, cache_dir)
    click.echo(f"{peak_mib():.0f} MiB at the start")
    batches = iter(build_pipeline(readers, "float32", 0, epochs * num_steps, Share(1, 0, 1, 1)))
    for epoch in range(1, epochs + 1):
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        for _ in range(num_steps):
            next(batches)
        seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
        click.echo(f"epoch {epoch}: {seconds:.1f} s, {cpu_seconds:.1f} s of CPU time, peak {peak_mib():.0f} MiB")


def peak_mib() -> float:
    """The largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
