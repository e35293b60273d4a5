"""All replicas make the same updates, so their weights must stay the same. Faulty memory is found by comparing them."""

import numpy as np
import tensorflow as tf

from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Call, Hook
from cyclegan.training.state import State


class ReplicaCheck(Hook):
    """Compares the weights, moments and averages of all replicas before each saving.

    Args:
        state: the state of the run.
        cluster: the processes that train together, which all compare.
    """

    def __init__(self, state: State, cluster: Cluster):
        self._cluster = cluster
        variables = [
            *(variable.value for variable in (*state.generator_variables, *state.discriminator_variables)),
            *(moment for own in (*state.generator_moments, *state.discriminator_moments) for moment in own),
            *(variable.value for average in state.averages for variable in average.trainable_variables),
            *(state.step, state.samples, state.skipped, state.bad_streak, *(state.loss_scale or ())),
        ]

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def digests() -> list[tf.Tensor]:
            per_replica = cluster.strategy.run(lambda: _digest([tf.convert_to_tensor(each) for each in variables]))
            return list(cluster.strategy.experimental_local_results(per_replica))

        self._digests = digests

    def at_checkpoint(self, call: Call) -> None:
        """Compares.

        Raises:
            CycleganError: if the replicas differ.
        """
        own = np.array([int(digest) for digest in self._digests()], np.int64)
        found = np.frombuffer(b"".join(self._cluster.gather(own.tobytes())), np.int64)
        values, counts = np.unique(found, return_counts=True)
        if different := np.flatnonzero(found != values[counts.argmax()]).tolist():
            raise CycleganError(
                f"After step {call.step} the weights of replica {', '.join(map(str, different))} are not those of"
                " the others, although all replicas make the same updates. A device or its memory may be faulty, or"
                " machines with different processors train together. This state is not saved: look after that, then"
                " start the run again with its --run-dir, which continues from the newest checkpoint."
            )

    def at_end(self, call: Call) -> None:
        """Compares, as `at_checkpoint` does."""
        self.at_checkpoint(call)


def _digest(values: list[tf.Tensor]) -> tf.Tensor:
    """A number of 64 bits that depends on each bit of the values, but not on the order in which they are summed."""
    total = tf.zeros([], tf.int64)
    for number, value in enumerate(values):
        integers = {2: tf.int16, 4: tf.int32, 8: tf.int64}[value.dtype.size]
        bits = tf.cast(tf.bitcast(value, integers), tf.int64)
        total += (2 * number + 1) * tf.reduce_sum(bits)  # which goes around at 2^63
    return total
