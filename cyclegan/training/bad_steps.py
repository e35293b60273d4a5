"""What is said of steps that were not finite, and were therefore skipped."""

from collections.abc import Sequence
from pathlib import Path

from cyclegan.data.batches import ImageReader
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.length import Session
from cyclegan.training.reporting.progress import Progress

NAMED_IMAGES = 4
"""A line names at most so many images of each domain."""


class BadSteps(Hook):
    """Writes a line for each bad step, with its images, and one for those in which float16 overflowed.

    Args:
        session: says which samples a step has.
        readers: the readers of domain A and of domain B.
        progress: gets the lines.
    """

    def __init__(self, session: Session, readers: tuple[ImageReader, ImageReader], progress: Progress):
        self._session, self._readers, self._progress = session, readers, progress

    def after_call(self, call: Call) -> None:
        """Writes the lines of a call."""
        for step, spoiled in call.skipped.items():
            if step in call.overflown:
                continue
            first = self._session.samples(step - 1)
            images = [
                f"{_listed([reader.path_of(first + index) for index in range(self._session.global_batch)])} of {domain}"
                for domain, reader in zip("AB", self._readers, strict=True)
            ]
            self._progress.line(
                f"Step {step} was skipped, because {spoiled} is not finite. Its images are {' and '.join(images)}."
            )
        if call.overflown:
            steps = ", ".join(map(str, call.overflown))
            self._progress.line(
                f"Not taken, because a number was too large for float16: {steps}. The loss scale has been lowered."
            )

    def at_divergence(self, call: Call) -> None:
        """Writes the lines of the last call."""
        self.after_call(call)


def _listed(paths: Sequence[Path]) -> str:
    left_out = len(paths) - NAMED_IMAGES
    names = ", ".join(path.name for path in paths[:NAMED_IMAGES])
    return f"{names} and {left_out} others" if left_out > 0 else names
