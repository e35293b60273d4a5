"""TensorBoard events. A failure here does not stop a training: it is reported, and no more events are written."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams_api

from cyclegan.config.config import Config
from cyclegan.config.files import dump_config
from cyclegan.errors import first_line
from cyclegan.runtime.atomic_files import temporary_beside


class Summaries:
    """Writes the TensorBoard events of a run. A thread of TensorFlow does the writing.

    Args:
        folder: the run directory.
        first_step: the number of steps that the run has completed. Points of later steps are removed: they are of a
            session that went on after the checkpoint that the run continues from, and they will come again.
        report: called with one line if the events cannot be written.
    """

    def __init__(self, folder: pathlib.Path, first_step: int, report: Callable[[str], None]):
        self._report = report
        self._writer: tf.summary.SummaryWriter | None = None
        with self._guarded():
            for path in sorted(folder.glob("events.out.tfevents.*")):
                if first_step:
                    _remove_points_after(first_step, path)
                else:
                    path.unlink()
            self._writer = tf.summary.create_file_writer(str(folder))

    def configuration(self, config: Config) -> None:
        """Writes the configuration as text, and as hyper-parameters for the HParams tab."""
        flat = {
            f"{section}.{key}": value if isinstance(value, bool | int | float | str) else str(value)
            for section, values in config.model_dump().items()
            for key, value in values.items()
        }
        with self._written(0):
            tf.summary.text("config", "```yaml\n" + dump_config(config) + "\n```")
            hparams_api.hparams(flat)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one point for each tag."""
        with self._written(step), np.errstate(over="ignore"):  # a learning rate can be above what float32 holds
            for tag, value in values.items():
                tf.summary.scalar(tag, np.float32(value))

    def note(self, step: int, tag: str, text: str) -> None:
        """Writes a text."""
        with self._written(step):
            tf.summary.text(tag, text)

    def grid(self, step: int, tag: str, image: np.ndarray) -> None:
        """Writes one picture, uint8 [height, width, channels] with 1, 3 or 4 channels."""
        with self._written(step):
            tf.summary.image(tag, image[None])

    def flush(self) -> None:
        """Makes everything visible to TensorBoard."""
        if self._writer is not None:
            with self._guarded():
                self._writer.flush()

    @contextlib.contextmanager
    def _written(self, step: int) -> Iterator[None]:
        if self._writer is None:
            # The body still runs, and a writer that failed while it was left may still be the default one.
            with tf.summary.record_if(False):
                yield
            return
        with self._guarded(), self._writer.as_default(step=step):
            yield

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self._writer = None
            self._report(f"No more TensorBoard events are written: {first_line(error).rstrip('.')}. Training goes on.")


def _remove_points_after(step: int, path: pathlib.Path) -> None:
    """Rewrites a file of events without those of steps after `step`, if there are any, and without a damaged end."""
    if all(is_kept for _, is_kept in _events_until(step, path)):
        return
    temporary = temporary_beside(path)
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record, is_kept in _events_until(step, path):
                if is_kept:
                    writer.write(record)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _events_until(step: int, path: pathlib.Path) -> Iterator[tuple[bytes, bool]]:
    """The records of a file of events, and whether each is kept. A damaged end is one record that is not."""
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield record, event_pb2.Event.FromString(record).step <= step
    except tf.errors.DataLossError:  # the process was killed while it wrote
        yield b"", False
