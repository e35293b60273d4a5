"""`cyclegan evaluate`: score translations, or images that any program made."""

import contextlib
import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import rich.console
from click.core import ParameterSource

from cyclegan.cli.options import WholeNumber, data_dir_option, devices_option, which_option
from cyclegan.cli.score_tables import num_images, show_scores
from cyclegan.errors import CycleganError, UsageError, printable
from cyclegan.runtime.startup import import_tensorflow

if TYPE_CHECKING:
    from cyclegan.bundles.bundle import Bundle
    from cyclegan.data.sources import Source
    from cyclegan.evaluation.protocol import Scores


ENOUGH_IMAGES = 100
"""A score of fewer images is rough."""


@click.command("evaluate")
@click.option("--model", metavar="MODEL", help="Trained model to score: a run, a bundle, a name, or hf://owner/name.")
@which_option
@click.option("--dataset", metavar="NAME|DIR", help="Data set with test images. [that of the run]")
@click.option("--domain-a", metavar="DIR", help="Folder of domain A, together with --domain-b.")
@click.option("--domain-b", metavar="DIR", help="Folder of domain B.")
@data_dir_option
@click.option("--direction", type=click.Choice(["ab", "ba", "both"]), default="both", help="ab, ba or both. [both]")
@click.option(
    "--images-only",
    nargs=2,
    metavar="REAL FAKE",
    type=click.Path(path_type=Path, file_okay=False),
    help="Compare two folders of images instead, whatever program made them.",
)
@click.option(
    "--features",
    metavar="WHICH",
    help="For KID and FID: inception, keras:NAME, a .tflite or .keras file, a SavedModel, or classifier. [none]",
)
@click.option("--size", type=WholeNumber(1), metavar="N", help="Size of the images in pixels. [that of the training]")
@click.option("--seed", type=WholeNumber(0), metavar="N", default=0, help="Seed of subsets, patches and intervals. [0]")
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Also write the scores here."
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the images that are compared to this folder.",
)
@devices_option
def command(
    model: str | None,
    which: Literal["best", "last"] | None,
    dataset: str | None,
    domain_a: str | None,
    domain_b: str | None,
    data_dir: Path | None,
    direction: Literal["ab", "ba", "both"],
    images_only: tuple[Path, Path] | None,
    features: str | None,
    size: int | None,
    seed: int,
    json_file: Path | None,
    images: Path | None,
    devices: str | None,
) -> None:
    """Score translations of test images, or images that any program made.

    A run that was scored while it trained has two bundles, the best and the last one. Both are scored, unless --which
    is given.

    Distances compare a set of images with the real test images of the target domain; smaller is better. Beside the
    translations stand the untranslated images, which is what copying would get, and real training images, which is what
    nothing can beat. docs/evaluation.md says how far to trust each score.
    """
    if bool(model) == bool(images_only):
        raise UsageError("Give either `--model` or `--images-only REAL FAKE`.")
    if images_only:
        _refuse_options_of_models()
    if images and images.exists() and any(images.iterdir()):
        raise UsageError(f"`--images` must be a new or empty folder. Received: {images}.")
    if images_only and features == "classifier":
        raise UsageError("`--features classifier` needs `--model`, whose data set it is trained on.")
    import_tensorflow()
    from cyclegan.evaluation.scores_file import refuse_foreign_scores, write_scores
    from cyclegan.runtime.devices import device_names

    if json_file:
        refuse_foreign_scores(json_file)

    device_names(devices or "auto")
    failures: list[str] = []
    if images_only:
        found = [_compare(*images_only, features, size, seed)]
    else:
        assert model
        places, bundles = (dataset, domain_a, domain_b), _bundles(model, which)
        found = _score(bundles, places, data_dir, direction, features, size, seed, images, failures)
    if json_file and found:
        try:  # first, because what is printed may have no reader; but it must not cost what is printed
            write_scores(json_file, found)
        except CycleganError as error:
            failures.append(str(error))
    console = rich.console.Console(width=None if sys.stdout.isatty() else 120)
    for scores in found:
        show_scores(scores, console)
    if not features:
        click.echo("KID and the Frechet distance need --features; see docs/evaluation.md.")
    if any(number < ENOUGH_IMAGES for scores in found for number in num_images(scores).values()):
        click.echo(f"A set of fewer than {ENOUGH_IMAGES} images makes rough scores; see docs/evaluation.md.")
    if failures:
        raise CycleganError(" ".join(failures))


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _refuse_options_of_models() -> None:
    """Refuses the options that have no meaning for two folders of images."""
    context = click.get_current_context()
    for name in ("which", "dataset", "domain_a", "domain_b", "data_dir", "direction", "images"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"`--{name.replace('_', '-')}` is for `--model`, and has no meaning for `--images-only`.")


@contextlib.contextmanager
def _removed_if_stopped() -> Iterator[list[Path]]:
    """A list of folders that are removed if the work does not come to its end."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _compare(real: Path, fake: Path, features: str | None, size: int | None, seed: int) -> "Scores":
    from cyclegan.data.headers import read_header
    from cyclegan.data.listing import list_images
    from cyclegan.evaluation.evaluate import SMALLEST_SIZE, evaluate_images
    from cyclegan.evaluation.extractors import load_extractor

    for folder in (real, fake):
        if not folder.is_dir():
            raise UsageError(f"`--images-only` must be two folders of images. Received: {folder}.")
    paths, others = list_images(real), list_images(fake)
    if not paths or not others:
        raise UsageError(f"{fake if paths else real} holds no images.")
    if size is None:
        header = read_header(paths[0], max_pixels=sys.maxsize)
        size = min(header.width, header.height)
        if size < SMALLEST_SIZE:
            raise UsageError(
                f"All images are read at the size of the first one, which must be at least {SMALLEST_SIZE} pixels."
                f" {paths[0]} has {header.width} x {header.height}. Give another size with --size."
            )
    if size < SMALLEST_SIZE:
        raise UsageError(f"`--size` must be at least {SMALLEST_SIZE}. Received: {size}.")
    extractor = load_extractor(features, size) if features else None
    return evaluate_images(paths, others, extractor, _say, size=size, seed=seed)


def _bundles(model: str, which: Literal["best", "last"] | None) -> list["Bundle"]:
    """The bundles to score: those of a run that has a best one, or the one that is asked for."""
    from cyclegan.bundles.bundle import load_bundle

    bundle = load_bundle(model, which)
    if which or bundle.folder == Path(model) or bundle.folder.name != "best":
        return [bundle]
    try:
        return [bundle, load_bundle(model, "last")]
    except UsageError as error:
        _say(f"Only the best bundle is scored: {error}")
        return [bundle]


def _score(
    bundles: list["Bundle"],
    places: tuple[str | None, str | None, str | None],
    data_dir: Path | None,
    direction: Literal["ab", "ba", "both"],
    features: str | None,
    size: int | None,
    seed: int,
    images: Path | None,
    failures: list[str],
) -> list["Scores"]:
    """The scores of each bundle and direction. What cannot be scored costs no other scores, but is noted."""
    from cyclegan.bundles.info import Direction
    from cyclegan.data.sources import CACHE, default_data_dir
    from cyclegan.evaluation.evaluate import evaluate_bundle, reading_config, refuse_size
    from cyclegan.evaluation.extractors import choose_extractor

    info, data_folder = bundles[0].info, data_dir or default_data_dir()
    refuse_size(info, size)
    source = _find_images(bundles[0], *places, data_folder)
    extractor = None
    if features:
        reading = reading_config(info, size or info.crop_size)
        extractor = choose_extractor(features, source, reading, _say, seed, data_folder / CACHE)
    directions: tuple[Direction, ...] = ("ab", "ba") if direction == "both" else (direction,)

    found = []
    with _removed_if_stopped() as made:
        for way, bundle in itertools.product(directions, bundles):
            place = images and images / (f"{bundle.folder.name}-{way}" if len(bundles) > 1 else way)
            made += [place] if place else []
            try:
                scores = evaluate_bundle(bundle, source, way, extractor, _say, size=size, seed=seed, images=place)
            except UsageError:
                raise
            except CycleganError as error:
                failures.append(f"{bundle.folder}, {way}, cannot be scored: {error}")
            else:
                found.append(scores)
    return found


def _find_images(
    bundle: "Bundle", dataset: str | None, domain_a: str | None, domain_b: str | None, data_folder: Path
) -> "Source":
    """The images that were asked for, or else those of the run to which a bundle belongs."""
    from cyclegan.config.sections import DataConfig
    from cyclegan.data.sources import resolve_source
    from cyclegan.training.record import places_of

    if bool(domain_a) != bool(domain_b):
        raise UsageError("`--domain-a` and `--domain-b` must be given together.")
    if not dataset and not domain_a:
        places = places_of(bundle.folder, bundle.info.provenance.dataset)
        if not places:
            raise UsageError(
                f"A bundle outside of its run does not say where its images are. Give its test images with --dataset"
                f" DIR, or with --domain-a and --domain-b. Received: --model {bundle.folder}."
            )
        dataset, domain_a, domain_b = (places.get(f"data.{key}") for key in ("dataset", "domain_a", "domain_b"))
    trained = bundle.info.provenance.config.get("data", {})
    fraction = trained.get("test_fraction", DataConfig().test_fraction)
    config = DataConfig(dataset=dataset or "two folders", domain_a=domain_a, domain_b=domain_b, test_fraction=fraction)
    source = resolve_source(config, data_folder, _say)
    if domain_a:
        test_a, test_b = len(source.test_a), len(source.test_b)
        _say(
            f"Scored are {test_a} of {len(source.train_a) + test_a} images of A and {test_b} of"
            f" {len(source.train_b) + test_b} of B: those that a training with these folders leaves out, as"
            f" data.test_fraction={fraction} says. To score all, put them into the folders testA and testB of a"
            " --dataset."
        )
    return source
