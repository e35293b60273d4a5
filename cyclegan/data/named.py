"""The data sets that have a name. To add one, add an entry to `NAMED`."""

import pathlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cyclegan.data.stripes import ensure_stripes, has_stripes
from cyclegan.data.tfds import TFDS_NAMES, has_tfds, prepare_tfds


class NamedSet(NamedTuple):
    """How a data set that has a name gets onto the disk.

    Attributes:
        origin: where its images come from, in a few words for `cyclegan data list`.
        is_on_disk: tells whether the data set is in this data directory.
        prepare: draws or downloads the data set into this data directory if it is not there yet, and returns its
            folder. The second argument is called with one line before anything that takes long.
    """

    origin: str
    is_on_disk: Callable[[pathlib.Path], bool]
    prepare: Callable[[pathlib.Path, Callable[[str], None]], pathlib.Path]


NAMED = {
    "stripes": NamedSet("drawn, no download", has_stripes, ensure_stripes),
    **{
        name: NamedSet("TensorFlow Datasets", partial(has_tfds, name), partial(prepare_tfds, name))
        for name in TFDS_NAMES
    },
}
