"""Random numbers of a step: a function of the seed of the run, the step and the replica, and of nothing else."""

from collections.abc import Sequence

import keras
import tensorflow as tf

POOL, LAYERS, IDENTITY, PENALTY_A, PENALTY_B = 0x706F6F6C, 1, 2, 3, 4
"""Purposes of random numbers. Each purpose gets its own seed, so that no two draws of a step are the same."""


def step_seed(seed: int, purpose: int, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
    """A seed, int [2], that differs between purposes, steps and replicas. XLA computes the same bits.

    Args:
        seed: the seed of the run.
        purpose: one of the constants of this module.
        step: int, the number of completed steps.
        replica: int, the number of the replica.
    """
    folded = tf.constant([seed, purpose], tf.int32)
    for number in (tf.cast(step, tf.int32), tf.cast(replica, tf.int32)):
        folded = tf.random.experimental.stateless_fold_in(folded, number, alg="philox")
    return folded


def pool_seeds(seed: int, step: tf.Tensor, replica: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The seeds of the pools of domain A and of domain B for one step of one replica, each int [2]."""
    both = tf.random.experimental.stateless_split(step_seed(seed, POOL, step, replica), 2, alg="philox")
    seed_a, seed_b = tf.unstack(both)
    return seed_a, seed_b


def pure(
    random_states: list[keras.Variable], seed: tf.Tensor, values: Sequence[tuple[keras.Variable, tf.Tensor]] = ()
) -> keras.StatelessScope:
    """A scope in which the networks change no variable and draw their random numbers from a seed.

    Args:
        random_states: the states of the random generators in the networks.
        seed: int [2].
        values: variables that have another value inside the scope.
    """
    return keras.StatelessScope(
        [
            (variable, tf.random.experimental.stateless_fold_in(seed, index, alg="philox"))
            for index, variable in enumerate(random_states)
        ]
        + list(values)
    )
