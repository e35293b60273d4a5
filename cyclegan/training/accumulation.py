"""The gradients of a batch that is too large for the memory, computed in parts one after the other."""

import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.training.gradients import Gradients, MicroBatch, compute_gradients
from cyclegan.training.image_pool import ImagePool, PoolPlan, PoolUpdate, Query
from cyclegan.training.randomness import pool_seeds
from cyclegan.training.state import State


def accumulate_gradients(
    state: State, config: Config, real_a: tf.Tensor, real_b: tf.Tensor, replica: tf.Tensor, num_replicas: int
) -> Gradients:
    """What `compute_gradients` returns for the whole batch, with the memory of one of its parts.

    The sums are those of the whole batch except for rounding, the image pools exchange the same images, and gradient
    penalties look at the same points. Batch normalization and spectral normalization see each part by itself, and
    dropout draws for each part anew.

    Args:
        state: the networks, pools and step counter, which are only read.
        config: `training.accumulate_steps` is the number of parts.
        real_a: [batch, size, size, channels_a] in [-1, 1]; the batch size is a multiple of the number of parts.
        real_b: the same for domain B, with the same batch size.
        replica: int, the number of this replica.
        num_replicas: the number of replicas that share the step.
    """
    count, batch = config.training.accumulate_steps, real_a.shape[0]
    size = batch // count
    seed_a, seed_b = pool_seeds(config.training.seed, state.step, replica)
    plan_a, plan_b = state.pool_a.plan(batch, seed_a), state.pool_b.plan(batch, seed_b)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # a function, so that it is traced only once
    def part(index: tf.Tensor, statistics: list[tf.Tensor], fakes_a: tf.Tensor, fakes_b: tf.Tensor) -> Gradients:
        query_a = _querying(state.pool_a, plan_a, fakes_a, index * size)
        query_b = _querying(state.pool_b, plan_b, fakes_b, index * size)
        micro = MicroBatch(index, count, statistics, query_a, query_b)
        own_a, own_b = (tf.slice(real, [index * size, 0, 0, 0], [size, *real.shape[1:]]) for real in (real_a, real_b))
        return compute_gradients(state, config, own_a, own_b, replica, num_replicas, micro)

    def add_part(index: tf.Tensor, total: Gradients) -> tuple[tf.Tensor, Gradients]:
        own = part(index, total.statistics, total.pool_a.fakes, total.pool_b.fakes)
        sums = {
            name: tf.nest.map_structure(tf.add, getattr(total, name), getattr(own, name))
            for name in ("generators", "discriminators", "overflows", "metrics")
        }
        return index + 1, own._replace(**sums)

    none = tf.constant(0)
    statistics = [tf.convert_to_tensor(variable) for variable in state.statistics]
    fakes_a, fakes_b = tf.zeros_like(real_a), tf.zeros_like(real_b)
    form = part.get_concrete_function(none, statistics, fakes_a, fakes_b).structured_outputs
    zeros: Gradients = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), form)
    start = zeros._replace(statistics=statistics)
    _, total = tf.while_loop(
        lambda index, _: index < count, add_part, (none, start), parallel_iterations=1, maximum_iterations=count
    )
    gradients: Gradients = total
    return gradients


def _querying(pool: ImagePool, plan: PoolPlan, fakes_before: tf.Tensor, first: tf.Tensor) -> Query:
    """`ImagePool.query` for the fakes from number `first` on of a batch, of which those before are known."""

    def query(fakes: tf.Tensor) -> tuple[tf.Tensor, PoolUpdate]:
        size = fakes.shape[0]
        places = first + tf.range(size)
        known = tf.tensor_scatter_nd_update(fakes_before, places[:, None], fakes)
        returned = pool.exchanged(known, tf.slice(plan.returned, [first], [size]))
        return returned, PoolUpdate(known, plan.sources, plan.count)

    return query
