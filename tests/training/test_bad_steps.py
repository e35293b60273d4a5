import io
import pathlib

import numpy as np
import pytest
import rich.console

from cyclegan.config.sections import DataConfig
from cyclegan.data.batches import ImageReader
from cyclegan.training.bad_steps import BadSteps
from cyclegan.training.hooks import Call
from cyclegan.training.length import Session
from cyclegan.training.reporting.progress import Progress


def reader(domain, num_images):
    paths = [pathlib.Path(f"/photos/{domain}{index}.png") for index in range(num_images)]
    return ImageReader(paths, domain, 0, 3, DataConfig(), pytest.fail, pytest.fail)


@pytest.mark.parametrize("end", ["after_call", "at_divergence"])
def test_a_skipped_step_is_named_with_what_was_wrong_and_its_images(end):
    output = io.StringIO()
    readers = (reader(0, 10), reader(1, 6))
    # The session began at sample 20, after 10 steps; its steps have 3 images of each domain, so step 12 has 23 to 25.
    hook = BadSteps(Session(10, 20, 99, 3), readers, Progress(rich.console.Console(file=output)))
    getattr(hook, end)(Call(13, {"loss": np.array([1.0, np.nan, 1.0])}, 0.1, False, {12: "loss"}))
    names_a, names_b = ([each.path_of(sample).name for sample in (23, 24, 25)] for each in readers)
    assert output.getvalue() == (
        f"Step 12 was skipped, because loss is not finite. Its images are {', '.join(names_a)} of A and"
        f" {', '.join(names_b)} of B.\n"
    )


def test_an_overflow_of_float16_is_no_fault_of_the_images():
    output = io.StringIO()
    hook = BadSteps(Session(0, 0, 99, 1), (reader(0, 10), reader(1, 10)), Progress(rich.console.Console(file=output)))
    skipped = {2: "a gradient or a new weight", 3: "a gradient or a new weight"}
    hook.after_call(Call(3, {"loss": np.ones(3)}, 0.1, False, skipped, (2, 3)))
    assert output.getvalue() == (
        "Not taken, because a number was too large for float16: 2, 3. The loss scale has been lowered.\n"
    )


def test_a_large_batch_is_named_by_its_first_images():
    output = io.StringIO()
    hook = BadSteps(Session(0, 0, 99, 8), (reader(0, 10), reader(1, 10)), Progress(rich.console.Console(file=output)))
    hook.after_call(Call(1, {"loss": np.array([np.nan])}, 0.1, False, {1: "loss"}))
    assert output.getvalue().count(".png") == 8
    assert output.getvalue().count(" and 4 others of ") == 2
