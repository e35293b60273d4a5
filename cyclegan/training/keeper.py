"""Saving: the only writer of checkpoints and bundles."""

import tensorflow as tf

from cyclegan.bundle import bundle_info, save_bundle
from cyclegan.errors import CycleganError
from cyclegan.training.checkpoints import save_checkpoint
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import State


class Keeper(Hook):
    """Saves checkpoint and bundle where they are due. A failure before the end of the run costs no training.

    Args:
        state: its generators go into the bundle.
        trackable: everything that goes into a checkpoint.
        plan: the run directory and the configuration.
        progress: told if something cannot be saved.
        fingerprint: the fingerprint of the training images, for the bundle.
    """

    def __init__(self, state: State, trackable: tf.train.Checkpoint, plan: Plan, progress: Progress, fingerprint: str):
        self._state, self._trackable, self._plan, self._progress = state, trackable, plan, progress
        self._fingerprint = fingerprint

    def at_checkpoint(self, call: Call) -> None:
        """Saves, and says if that fails."""
        try:
            self._save(call)
        except (CycleganError, OSError) as error:
            self._progress.line(f"{error} Training goes on; the next attempt is at the next checkpoint.")

    def at_end(self, call: Call) -> None:
        """Saves.

        Raises:
            CycleganError: if that fails.
        """
        try:
            self._save(call)
        except (CycleganError, OSError) as error:
            raise CycleganError(f"The end of the run cannot be saved: {error}") from error

    def _save(self, call: Call) -> None:
        folder, config = self._plan.folder, self._plan.config
        save_checkpoint(self._trackable, folder / "checkpoints", call.step, config.training.keep_checkpoints)
        save_bundle(
            folder / "bundle" / "last",
            dict(zip(("ab", "ba"), self._state.translators, strict=True)),
            bundle_info(config, call.step, fingerprint=self._fingerprint, metrics=call.means()),
        )
