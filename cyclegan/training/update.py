"""What a step makes of gradients: the new weights, moments and averages. Nothing is assigned here."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.training.gradients import Gradients
from cyclegan.training.optimizers import Moments, clipped, optimize
from cyclegan.training.schedules import learning_rate
from cyclegan.training.state import State


class Update(NamedTuple):
    """The values that the weights, the moments and the averages get from a step."""

    generators: list[tf.Tensor]
    discriminators: list[tf.Tensor]
    generator_moments: list[Moments]
    discriminator_moments: list[Moments]
    averages: list[tf.Tensor]


def build_update(state: State, config: Config, jit_compile: bool) -> Callable[[Gradients], Update]:
    """The new weights, moments and averages as a function of gradients that are summed over the replicas.

    Each replica computes the same values. Nothing is assigned.

    Args:
        state: what the update starts from.
        config: names the optimizer, its schedule and the decay of the averages.
        jit_compile: whether XLA compiles the function.
    """
    num_statistics = sum(len(generator.non_trainable_weights) for generator in state.networks[:2])

    def update(
        updates: tf.Tensor,
        samples: tf.Tensor,
        factor: tf.Tensor | None,
        old: Update,
        gradients: tuple[list[tf.Tensor], ...],
    ) -> Update:
        rate, number = learning_rate(config.optimizer, state.length, samples, factor), tf.cast(updates + 1, tf.float64)

        def new(weights: list[tf.Tensor], own: list[tf.Tensor], moments: list[Moments]) -> Any:
            return optimize(config.optimizer, rate, number, weights, own, moments)

        generators, generator_moments = new(old.generators, gradients[0], old.generator_moments)
        discriminators, discriminator_moments = new(old.discriminators, gradients[1], old.discriminator_moments)
        averages = _averages(old.averages, [*generators, *gradients[2]], config.training.ema_decay, number)
        return Update(generators, discriminators, generator_moments, discriminator_moments, averages)

    function = tf.function(update, jit_compile=True, autograph=False) if jit_compile else update

    def from_gradients(gradients: Gradients) -> Update:
        old = Update(
            _values(state.generator_variables),
            _values(state.discriminator_variables),
            [tuple(_values(moments)) for moments in state.generator_moments],
            [tuple(_values(moments)) for moments in state.discriminator_moments],
            _values(state.average_variables),
        )
        statistics = gradients.statistics[:num_statistics]
        given = (list(gradients.generators), list(gradients.discriminators), list(statistics))
        if limit := config.training.clip_norm:
            given = (clipped(given[0], limit), clipped(given[1], limit), given[2])
        factor = None if state.rate_factor is None else tf.convert_to_tensor(state.rate_factor)
        return function(state.step - state.skipped, tf.convert_to_tensor(state.samples), factor, old, given)

    return from_gradients


def _values(variables: Sequence[keras.Variable | tf.Variable]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(variable) for variable in variables]


def _averages(averages: list[tf.Tensor], weights: list[tf.Tensor], decay: float, number: tf.Tensor) -> list[tf.Tensor]:
    """Each average moved towards the new weight: average + (1 - decay) * (weight - average).

    In the first steps the decay is (1 + number) / (10 + number) where that is less, so that the average soon forgets
    the weights from before the training. `number` is the number of the update, counted from 1.
    """
    rate = 1 - tf.minimum(tf.constant(decay, tf.float64), (1 + number) / (10 + number))
    return [
        average + tf.cast(rate, average.dtype) * (weight - average)
        for average, weight in zip(averages, weights, strict=False)  # there may be no averages
    ]
