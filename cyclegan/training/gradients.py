"""The gradients of all networks for one batch: one pure function, from the forward pass to the metrics."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.networks import DiscriminatorConfig, GeneratorConfig
from cyclegan.losses import (
    image_means,
    weight_penalty,
)
from cyclegan.training.discriminator_losses import Judgement, judge
from cyclegan.training.generator_losses import Translation, translate
from cyclegan.training.image_pool import PoolUpdate, Query
from cyclegan.training.loss_scaling import Scales, count_overflow, present_scales
from cyclegan.training.network_calls import plain_call, recomputing, watching
from cyclegan.training.randomness import IDENTITY, LAYERS, PENALTY_A, PENALTY_B, pool_seeds, pure, step_seed
from cyclegan.training.state import State

Metrics = dict[str, tf.Tensor]
"""Scalars by their TensorBoard tags, such as `loss/generator_ab/cycle`.

Losses are weighted, as they are minimised. `loss/generator_ab/cycle` belongs to the round trip A -> B -> A, and
`loss/generator_ab/identity` is |G_AB(real_b) - real_b|. Penalties are weighted too. They are not part of the losses,
and they are 0 where they are off.
"""


class Gradients(NamedTuple):
    """What one replica computes from its batch. Nothing in the state has changed yet."""

    generators: list[tf.Tensor]
    discriminators: list[tf.Tensor]
    statistics: list[tf.Tensor]  # new values of `State.statistics`
    pool_a: PoolUpdate
    pool_b: PoolUpdate
    overflows: list[tf.Tensor]  # for each loss scale, above 0 if it was too large; none without loss scaling
    metrics: Metrics  # this replica's share: the sum over all replicas is the mean over the global batch


class MicroBatch(NamedTuple):
    """A part of the batch of a replica, which is computed by itself to save memory. The sum is that of the whole batch.

    Attributes:
        number: int, the number of the part, counted from 0.
        num_parts: the number of parts of the batch.
        statistics: the values that `State.statistics` have after the part before.
        query_a: exchanges fakes of domain A for images of the pool, as `ImagePool.query` does with its seed.
        query_b: the same for domain B.
    """

    number: tf.Tensor
    num_parts: int
    statistics: Sequence[tf.Tensor]
    query_a: Query
    query_b: Query


def compute_gradients(
    state: State,
    config: Config,
    real_a: tf.Tensor,
    real_b: tf.Tensor,
    replica: tf.Tensor,
    num_replicas: int,
    micro: MicroBatch | None = None,
) -> Gradients:
    """Gradients of all four networks for one batch, all from one forward pass.

        generators:      sum over both directions of
                         generator(D(fake)) + cycle_weight * (|cycled - real| + identity_weight * |same - real|)
        discriminators:  0.5 * (real(D(real)) + fake(D(pooled fake))) + gradient penalty

    Here generator, real and fake are the three parts of the adversarial loss; for LSGAN they are the squared distances
    to 1, 1 and 0. The penalty on the weights is added to each sum. Everything is divided by the global batch size, so
    that the sum over the replicas is the mean.

    Source: Zhu et al. 2017, eq. 1 to 3; weights and pool as in the authors' PyTorch implementation.

    Args:
        state: the networks, pools and step counter, which are only read.
        config: the loss weights and the seed.
        real_a: [batch, size, size, channels_a] in [-1, 1], this replica's images of domain A.
        real_b: the same for domain B, with the same batch size.
        replica: int, the number of this replica.
        num_replicas: the number of replicas that share the step.
        micro: which part of this replica's batch the images are; None if they are all of it.
    """
    part = (micro.number, micro.num_parts) if micro else (0, 1)
    num_parts = num_replicas * part[1]

    def global_mean(per_image: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(per_image) / (real_a.shape[0] * num_parts)

    def seed(purpose: int) -> tf.Tensor:
        return step_seed(config.training.seed, purpose, state.step, replica)

    def layers_seed(purpose: int) -> tf.Tensor:
        own = seed(purpose)
        return tf.random.experimental.stateless_fold_in(own, micro.number, alg="philox") if micro else own

    query_a, query_b = (micro.query_a, micro.query_b) if micro else _queries(state, config.training.seed, replica)
    scales = present_scales(state.loss_scale)
    # Inside this scope the networks change no variable. New statistics leave it through `statistics` alone.
    given = list(zip(state.statistics, micro.statistics, strict=True)) if micro else []
    with pure(state.random_states, layers_seed(LAYERS), given) as scope:
        with watching(state.generator_variables) as gradient:
            call = recomputing(scope) if config.training.recompute else plain_call
            translation = translate(state, config, real_a, real_b, layers_seed(IDENTITY), call, global_mean)
            weights_generators = _weight_penalty(state.generator_variables, config.generator, real_a, num_parts)
            total = tf.add_n([*translation.losses.values(), weights_generators])
        generator_gradients = gradient(total, scales.generators)

        pooled_a, pool_a = query_a(tf.stop_gradient(translation.fake_a))
        pooled_b, pool_b = query_b(tf.stop_gradient(translation.fake_b))

        with watching(state.discriminator_variables, several=state.loss_scale is not None) as gradient:
            judged = functools.partial(judge, state, config, part=part, global_mean=global_mean)
            of_a = judged(state.discriminator_a, real_a, pooled_a, seed(PENALTY_A))
            of_b = judged(state.discriminator_b, real_b, pooled_b, seed(PENALTY_B))
            weights_discriminators = _weight_penalty(
                state.discriminator_variables, config.discriminator, real_a, num_parts
            )
            totals = _totals([of_a.loss, of_b.loss], [of_a.penalty, of_b.penalty], weights_discriminators, scales)
        apart = [gradient(total, scale) for total, scale in zip(totals, scales[1:], strict=False)]
        statistics = [scope.get_current_value(variable) for variable in state.statistics]

    return Gradients(
        generators=generator_gradients,
        discriminators=apart[0] if len(apart) == 1 else [tf.add_n(parts) for parts in zip(*apart, strict=True)],
        statistics=statistics,
        pool_a=pool_a,
        pool_b=pool_b,
        overflows=[count_overflow(each) for each in (generator_gradients, *apart)] if state.loss_scale else [],
        metrics=_metrics(translation, of_a, of_b, weights_generators, weights_discriminators, global_mean),
    )


def _totals(losses: list[tf.Tensor], penalties: list[tf.Tensor], weights: tf.Tensor, scales: Scales) -> list[tf.Tensor]:
    """What the discriminators minimise: one sum, or two sums where the penalties have a scale of their own."""
    if scales.penalties is None:
        return [tf.add_n([*losses, *penalties, weights])]
    return [tf.add_n([*losses, weights]), tf.add_n(penalties)]


def _queries(state: State, seed: int, replica: tf.Tensor) -> list[Query]:
    """`ImagePool.query` of domain A and of domain B, with the seeds of this step."""
    seeds = pool_seeds(seed, state.step, replica)
    return [
        functools.partial(pool.query, seed=own) for pool, own in zip((state.pool_a, state.pool_b), seeds, strict=True)
    ]


def _metrics(
    translation: Translation,
    of_a: Judgement,
    of_b: Judgement,
    weights_generators: tf.Tensor,
    weights_discriminators: tf.Tensor,
    global_mean: Callable[[tf.Tensor], tf.Tensor],
) -> Metrics:
    def mean_score(maps: Sequence[tf.Tensor]) -> tf.Tensor:
        return global_mean(image_means(maps))

    return {
        **translation.losses,
        "loss/discriminator_a": of_a.loss,
        "loss/discriminator_b": of_b.loss,
        "score/discriminator_a/real": mean_score(of_a.scores_real),
        "score/discriminator_a/fake": mean_score(translation.scores_fake_a),
        "score/discriminator_b/real": mean_score(of_b.scores_real),
        "score/discriminator_b/fake": mean_score(translation.scores_fake_b),
        "penalty/discriminator_a/gradient": of_a.penalty,
        "penalty/discriminator_b/gradient": of_b.penalty,
        "penalty/generators/weights": weights_generators,
        "penalty/discriminators/weights": weights_discriminators,
    }


def _weight_penalty(
    variables: list[keras.Variable], config: GeneratorConfig | DiscriminatorConfig, like: tf.Tensor, num_parts: int
) -> tf.Tensor:
    """One of so many equal parts of the penalty on the kernels among `variables`, in the dtype of `like`."""
    if not config.l1 and not config.l2:
        return tf.zeros([], like.dtype)
    kernels = [tf.cast(variable.value, like.dtype) for variable in variables if variable.name == "kernel"]
    return weight_penalty(kernels, config.l1, config.l2) / num_parts
