import pytest

from cyclegan.errors import CycleganError
from cyclegan.export.formats import FORMATS
from cyclegan.export.verify import LIMIT, compare


@pytest.mark.parametrize("format_", ["onnx", "litert"])
def test_export_that_its_runtime_refuses_is_one_line(bundle, random_images, tmp_path, needs_extra, format_):
    needs_extra(format_)
    path = tmp_path / f"g{FORMATS[format_].suffix}"
    path.write_bytes(b"neither one nor the other")
    images = [random_images(16, 16, 3)]
    with pytest.raises(CycleganError, match=f"export to {format_} is not kept: its runtime reports: .") as error:
        compare(path, format_, bundle.generator("ab"), bundle.info, images, None, LIMIT)
    assert "\n" not in str(error.value)
