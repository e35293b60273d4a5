"""A folder of images in, the same tree of translated images out."""

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from cyclegan.data.decoding import BadImage, read_image
from cyclegan.data.encoding import encode
from cyclegan.data.listing import SUFFIXES, list_images
from cyclegan.errors import CycleganError, UsageError
from cyclegan.files import write_atomically
from cyclegan.networks.bundle import Bundle, Direction

# Errors that come from one name, so that the next image may well be written. All others stop the work.
_ERRORS_OF_ONE_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.EILSEQ}


@dataclass(frozen=True)
class Result:
    """What became of the images.

    Attributes:
        num_translated: written in this call.
        num_skipped: passed over because their output was already there.
        failed: image and reason, one line without the path.
    """

    num_translated: int
    num_skipped: int
    failed: list[tuple[Path, str]]


def translate_folder(
    bundle: Bundle,
    direction: Direction,
    input: Path,
    output: Path,
    *,
    overwrite: bool = False,
    report: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Translates all images of a folder, one after the other, each in its own size, to 8-bit PNG.

    `output` gets the tree of `input`: `input/x/horse.jpg` becomes `output/x/horse.png`. Where two images
    would get the same name they keep their suffixes: `horse.jpg.png` and `horse.bmp.png`. Each file appears
    whole or not at all, so a call that was interrupted is continued by the same call.

    Args:
        bundle: the trained model.
        direction: "ab" for A to B, "ba" for B to A.
        input: a folder, or one image.
        output: a folder, created where it is absent; for one image also a path that ends in .png.
        overwrite: translate again what is already there, instead of skipping it.
        report: gets a line for each image that fails; the others go on.
        progress: called as (done, total) after each image; skipped images are in neither number.

    Raises:
        UsageError: if there are no images, the bundle has no such direction, or `output` is in `input`.
        CycleganError: if nothing more can be written, as on a full disk. What is done is kept.
    """
    targets = _plan(input, output)
    generator = bundle.generator(direction)
    channels, _ = bundle.info.channels(direction)
    sources = [source for source, target in targets.items() if overwrite or not target.is_file()]
    failed: list[tuple[Path, str]] = []

    # One graph for all sizes.
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels], tf.float32)])
    def translate(images: tf.Tensor) -> tf.Tensor:
        return generator(images, training=False)

    def read(source: Path) -> np.ndarray:
        return read_image(source, channels, bundle.info.value_range, bundle.info.max_pixels)

    with ThreadPoolExecutor(max_workers=1) as pool:
        for number, (source, image) in enumerate(_read_ahead(pool, read, sources), start=1):
            target = targets[source]
            reason = None
            try:
                translated = _translate(translate, image.result(), bundle.info.size_multiple, bundle.info.min_size)
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, encode(translated))
            except BadImage as error:
                reason = error.reason
            except OSError as error:
                reason = f"{target} cannot be written: {error.strerror}"
                if error.errno not in _ERRORS_OF_ONE_NAME:
                    kept = number - 1 - len(failed)
                    raise CycleganError(f"{reason}. Translated before and kept: {kept}.") from error
            if reason:
                failed.append((source, reason))
                report(f"{source}: {reason}")
            if progress:
                progress(number, len(sources))
    return Result(len(sources) - len(failed), len(targets) - len(sources), failed)


def _plan(input: Path, output: Path) -> dict[Path, Path]:
    """Every image with the file that its translation goes to, all of them different."""
    if input.is_file():
        targets = {input: _target_of_one(input, output)}
        if targets[input].exists() and targets[input].samefile(input):
            raise UsageError(f"{output} would overwrite the input {input}. Choose another output.")
        return targets
    if not input.exists():
        raise UsageError(f"{input}: no such file or folder.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output must be a folder. Received: {output}.")
    images = list_images(input)
    if not images:
        raise UsageError(f"{input} holds no images. Looked for {' '.join(sorted(SUFFIXES))}.")

    # Without regard to case, for file systems that have none.
    names = {image: (image.with_suffix(".png"), image.with_name(f"{image.name}.png")) for image in images}
    claims = Counter(str(name).casefold() for pair in names.values() for name in pair)
    targets = {
        image: output / (short if claims[str(short).casefold()] == 1 else long).relative_to(input)
        for image, (short, long) in names.items()
    }
    # Links in the output could lead anywhere; and what lies in the input would be translated the next time.
    for folder in {output, *(target.parent for target in targets.values())}:
        if _is_within(folder, input):
            raise UsageError(f"{folder} is in the input {input}. Choose an output beside it.")
        if output.exists() and not _is_within(folder, output):
            raise UsageError(f"{folder} is a link that leads out of the output {output}. Remove it.")
    return targets


def _target_of_one(image: Path, output: Path) -> Path:
    if output.is_dir() or output.suffix.lower() not in SUFFIXES:
        return output / f"{image.stem}.png"
    if output.suffix.lower() != ".png":
        raise UsageError(f"The output must be a folder or end in .png. Received: {output}.")
    return output


def _is_within(path: Path, folder: Path) -> bool:
    resolved = path.resolve()
    return any(parent.exists() and parent.samefile(folder) for parent in (resolved, *resolved.parents))


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[Path], np.ndarray], sources: list[Path]
) -> Iterator[tuple[Path, Future[np.ndarray]]]:
    """Each image while the next one is read."""
    futures: list[Future[np.ndarray]] = []
    for index, source in enumerate(sources):
        futures += [pool.submit(read, ahead) for ahead in sources[index + len(futures) : index + 2]]
        yield source, futures.pop(0)


def _translate(
    translate: Callable[[np.ndarray], tf.Tensor], image: np.ndarray, size_multiple: int, min_size: int
) -> np.ndarray:
    """An image [height, width, channels] of any size: reflected at the lower right, translated, cropped.

    Raises:
        BadImage: if the memory does not suffice, or the generator is broken.
    """
    height, width, _ = image.shape
    # NumPy reflects as often as it must, and repeats where there is but one pixel to reflect.
    padding = [(0, -(-max(size, min_size) // size_multiple) * size_multiple - size) for size in (height, width)]
    padded = np.pad(image, [*padding, (0, 0)], mode="reflect")
    try:
        translated = translate(padded[np.newaxis]).numpy()[0, :height, :width]
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise BadImage(None, f"{width} x {height} pixels need more memory than there is", "over-large") from None
    if not np.isfinite(translated).all():
        raise BadImage(None, "its translation holds values that are not finite")
    return translated
