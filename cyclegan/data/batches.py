"""Batches as a pure function of (seed, step).

Sample number i of a domain with n images is image i % n of the domain's permutation number i // n. Its augmentation has
the seed (seed, domain, i). A sample does not depend on the replica, on the thread or on earlier samples. So a run that
continues needs only the number of its step, and no state of the input.
"""

import functools
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cyclegan.config.sections import DataConfig
from cyclegan.data.augmentation import augment
from cyclegan.data.headers import BadImage, ReadFailure
from cyclegan.data.image_cache import ImageCache
from cyclegan.data.loading import IN_FLIGHT_BYTES, ByteBudget, load_image
from cyclegan.data.sources import Source
from cyclegan.errors import CycleganError

DOMAIN_A, DOMAIN_B = 0, 1


@functools.lru_cache(maxsize=8)
def permutation(seed: int, domain: int, epoch: int, size: int) -> np.ndarray:
    """The order of a domain's images in one of its epochs: int64 [size], each index once.

    It sorts random bits. NumPy promises that the bits of a bit generator never change, but it does not promise this for
    the results of its own `permutation`.
    """
    key = np.array([seed, (epoch << 1) | domain], dtype=np.uint64)
    return np.argsort(np.random.Philox(key=key).random_raw(size), kind="stable")


class ImageReader:
    """Reads sample number i of one domain, and passes over files that cannot be decoded.

    Args:
        paths: the images of the domain.
        domain: `DOMAIN_A` or `DOMAIN_B`.
        seed: seed of the run.
        channels: number of channels of the decoded images.
        config: how images are prepared, and the limits.
        load: reads a file as float32 [height, width, channels] in [-1, 1], at the size at which it is cropped.
        report: called with one line for each broken file, once.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        domain: int,
        seed: int,
        channels: int,
        config: DataConfig,
        load: Callable[[pathlib.Path], np.ndarray],
        report: Callable[[str], None],
    ):
        self.paths = paths
        self.domain = domain
        self.seed = seed
        self.channels = channels
        self.config = config
        self.load = load
        self.report = report
        self.failure: CycleganError | None = None
        self._bad: set[pathlib.Path] = set()
        self._lock = threading.Lock()

    def __call__(self, sample: int) -> np.ndarray:
        """The image of a sample at its load size: float32 [height, width, channels] in [-1, 1].

        Raises:
            CycleganError: if more than `data.max_bad_images` files of the domain are broken, or all of them, or if a
                file cannot be read although it may be good. The error is also kept in `failure`, because TensorFlow
                passes on only its text.
        """
        for offset in range(len(self.paths)):
            path = self.path_of(int(sample), offset)
            try:
                return self.load(path)
            except BadImage as error:
                self._note(path, error)
            except ReadFailure as error:
                self.failure = error
                raise
            except MemoryError as error:
                self.failure = CycleganError(f"{path}: reading it needs more memory than is available.")
                raise self.failure from error
        raise AssertionError("_note raises an error when all images are broken")

    def path_of(self, sample: int, offset: int = 0) -> pathlib.Path:
        """The file of a sample, or the one that is `offset` places after it in the order of its epoch."""
        size = len(self.paths)
        epoch, position = divmod(sample, size)
        order = permutation(self.seed, self.domain, epoch, size)
        return self.paths[int(order[(position + offset) % size])]

    def _note(self, path: pathlib.Path, error: BadImage) -> None:
        """Remembers a broken file, and raises an error if there are too many of them or no others."""
        with self._lock:
            is_new = path not in self._bad
            self._bad.add(path)
            if not path.parent.is_dir():
                problem = f"The folder {path.parent} is gone"
            elif len(self._bad) > self.config.max_bad_images:
                problem = f"More than `data.max_bad_images` = {self.config.max_bad_images} files are broken"
            elif len(self._bad) == len(self.paths):
                problem = f"All training images of domain {'AB'[self.domain]} are broken"
            else:
                if is_new:
                    self.report(f"Replaced by the next image: {error}")
                return
            # A check of the folder does not know to which size a training enlarges narrow images.
            hint = (
                ""
                if error.kind == "over-large" or not path.parent.is_dir()
                else f" `cyclegan data check {path.parent}` lists all of them."
            )
            self.failure = CycleganError(f"{problem}. The last image is {error}.{hint}")
            raise self.failure


class Share(NamedTuple):
    """The part of each global batch that the replicas of one process read.

    Attributes:
        global_batch: images of each domain in a step, over all replicas of all processes.
        first: the position in the global batch of the first image that this process reads.
        num_replicas: the replicas of this process.
        batch: images of each domain for each replica.
    """

    global_batch: int
    first: int
    num_replicas: int
    batch: int


def build_pipeline(
    readers: tuple[ImageReader, ImageReader], dtype: str, first_sample: int, num_steps: int, share: Share
) -> tf.data.Dataset:
    """The batches of some steps, one for each replica of this process after the other.

    Args:
        readers: the readers of domain A and of domain B.
        dtype: "float32" or "float64".
        first_sample: the number of images of each domain that the run has seen before.
        num_steps: the number of steps.
        share: the part of each global batch to read.

    Returns:
        A tf.data.Dataset of num_steps * share.num_replicas pairs (real_a, real_b), each float32 or float64
        [share.batch, crop_size, crop_size, channels] in [-1, 1].
    """
    own = share.num_replicas * share.batch

    def view(reader: ImageReader, sample: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(reader, [sample], tf.float32, stateful=False)
        image = tf.ensure_shape(image, [None, None, reader.channels])
        seed = tf.random.experimental.stateless_fold_in(
            tf.constant([reader.seed, reader.domain], tf.int64), sample, alg="philox"
        )
        return tf.cast(augment(image, seed, reader.config), dtype)

    def pair(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sample = first_sample + index // own * share.global_batch + share.first + index % own
        return view(readers[0], sample), view(readers[1], sample)

    pairs = tf.data.Dataset.range(num_steps * own).map(pair, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return pairs.batch(share.batch, drop_remainder=True).prefetch(2 * share.num_replicas)


def build_readers(
    source: Source,
    config: DataConfig,
    seed: int,
    report: Callable[[str], None],
    cache_dir: pathlib.Path | None = None,
) -> tuple[ImageReader, ImageReader]:
    """The readers of the training images of both domains.

    Args:
        source: the images.
        config: how images are prepared, and the limits.
        seed: seed of the run.
        report: called with one line for each broken file, and if the cache takes no more images.
        cache_dir: the folder for caches, in which large images are kept at their load size; None keeps none.
    """
    budget, cache = ByteBudget(IN_FLIGHT_BYTES), None
    if cache_dir and config.cache_gib:
        cache = ImageCache(cache_dir / "images", int(config.cache_gib * 2**30), report)

    def reader(paths: Sequence[pathlib.Path], domain: int, channels: int) -> ImageReader:
        load = functools.partial(
            load_image, channels=channels, size=config.load_size, config=config, budget=budget, cache=cache
        )
        return ImageReader(paths, domain, seed, channels, config, load, report)

    return (
        reader(source.train_a, DOMAIN_A, config.channels_a),
        reader(source.train_b, DOMAIN_B, config.channels_b),
    )
