import keras
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


def test_export_of_infinite_outputs_is_refused_also_where_any_difference_is_accepted(bundle, random_images, tmp_path):
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Rescaling(0.0, offset=float("inf"))(image)).save(tmp_path / "g.keras")
    images, anything = [random_images(16, 16, 3)], float("inf")
    with pytest.raises(CycleganError, match=r"run by keras .*it or Keras computes values that are not finite\.$"):
        compare(tmp_path / "g.keras", "keras", bundle.generator("ab"), bundle.info, images, None, anything)
