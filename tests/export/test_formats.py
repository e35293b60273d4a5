import configparser
import pathlib

import pytest

from cyclegan.errors import UsageError
from cyclegan.export.formats import FORMATS

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("format_", [name for name, entry in FORMATS.items() if entry.packages])
def test_packages_of_a_format_are_an_extra_of_its_name(format_):
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    requirements = setup["options.extras_require"][format_].replace("-", "_")
    assert all(package in requirements for package in FORMATS[format_].packages)


def test_pytorch_takes_only_architectures_that_its_implementation_has(bundle):
    """A generator of an architecture that does not exist yet."""
    generator = bundle.info.generator.model_copy(update={"architecture": "transformer"})
    info = bundle.info.model_copy(update={"generator": generator})
    with pytest.raises(UsageError, match="`generator.architecture` must be resnet or unet. Received: transformer"):
        FORMATS["pytorch"].check_bundle(info)


def test_no_two_formats_have_one_suffix():
    suffixes = [entry.suffix for entry in FORMATS.values()]
    assert len(set(suffixes)) == len(suffixes)
