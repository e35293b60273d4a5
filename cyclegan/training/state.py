"""Everything that a training run remembers. It is built in one place, and named for checkpoints in one place."""

import dataclasses
import json
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.sections import image_dtype
from cyclegan.networks.discriminators import build_discriminator
from cyclegan.networks.generators import build_generator
from cyclegan.networks.weights import named_weights
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.image_pool import ImagePool
from cyclegan.training.length import Length
from cyclegan.training.loss_scaling import FIRST_SCALES, LossScale
from cyclegan.training.optimizers import OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class State:
    """Networks, moments of the optimizers, image pools and the step counter of a run.

    `generator_ab` maps domain A to B; `discriminator_a` judges images of domain A; `pool_a` holds fakes of domain A.
    `averages` are copies of the generators, ab and ba, whose weights are running averages, if the run keeps them.
    `teachers` are trained generators, ab and ba, that the others imitate, if the run has any; they never change, and
    are in no checkpoint. `generator_moments` holds the moments of each of `generator_variables`. `step` counts the
    steps, and the random numbers depend on it. `skipped` counts those of them that were not finite and changed nothing,
    and `bad_streak` how many of these came one after the other until now; the optimizers and averages count the others.
    `samples` counts the images of each domain that the run has seen: the learning rate and the input read it. Only runs
    in float16 have a `loss_scale`, and only those with the schedule plateau a `rate_factor`, which follows from the
    scores of the run and is in no checkpoint. `length` says how long the run is, and `global_batch` how many samples a
    step of this session has, over all replicas.
    """

    generator_ab: keras.Model
    generator_ba: keras.Model
    discriminator_a: keras.Model
    discriminator_b: keras.Model
    averages: tuple[keras.Model, ...]
    teachers: tuple[keras.Model, ...]
    generator_moments: list[tuple[tf.Variable, ...]]
    discriminator_moments: list[tuple[tf.Variable, ...]]
    pool_a: ImagePool
    pool_b: ImagePool
    step: tf.Variable
    samples: tf.Variable
    skipped: tf.Variable
    bad_streak: tf.Variable
    loss_scale: LossScale | None
    rate_factor: tf.Variable | None
    length: Length
    global_batch: int

    @property
    def translators(self) -> tuple[keras.Model, keras.Model]:
        """The generators ab and ba for use after training, which are the averages if the run keeps them."""
        generator_ab, generator_ba = self.averages or (self.generator_ab, self.generator_ba)
        return generator_ab, generator_ba

    @property
    def networks(self) -> tuple[keras.Model, ...]:
        """The four networks that are trained."""
        return (self.generator_ab, self.generator_ba, self.discriminator_a, self.discriminator_b)

    @property
    def statistics(self) -> list[keras.Variable]:
        """Weights that a step changes without an optimizer: moving averages and singular vectors."""
        return [variable for network in self.networks for variable in network.non_trainable_weights]

    @property
    def random_states(self) -> list[keras.Variable]:
        """States of the random generators in the networks. Each step replaces them, so they are never changed."""
        weights = {id(variable) for network in self.networks for variable in network.weights}
        return [variable for network in self.networks for variable in network.variables if id(variable) not in weights]

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of both generators."""
        variables: list[keras.Variable] = self.generator_ab.trainable_variables + self.generator_ba.trainable_variables
        return variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of both discriminators."""
        variables: list[keras.Variable] = (
            self.discriminator_a.trainable_variables + self.discriminator_b.trainable_variables
        )
        return variables

    @property
    def average_variables(self) -> list[keras.Variable]:
        """Weights of both averages: those that are trained in the generators, then the statistics."""
        trained = [variable for average in self.averages for variable in average.trainable_variables]
        return trained + [variable for average in self.averages for variable in average.non_trainable_weights]

    def named(self, strategy: tf.distribute.Strategy, first_replica: int = 0) -> dict[str, tf.Variable]:
        """Every variable of a checkpoint by its name.

        Each replica has its own image pools, so the name of a pool ends with the number of its replica. Everything else
        has the same value on all replicas, and counts once.

        Args:
            strategy: the strategy under which the state was built.
            first_replica: the number of the first replica of this process, whose pools are the ones that are named.
        """
        labels = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b", "average_ab", "average_ba")
        named: dict[str, tf.Variable] = {
            f"{label}/{name}": variable.value
            for label, network in zip(labels, (*self.networks, *self.averages), strict=False)
            for name, variable in named_weights(network).items()
        }
        names = {id(variable): name for name, variable in named.items()}
        trained = [*self.generator_variables, *self.discriminator_variables]
        for variable, moments in zip(trained, self.generator_moments + self.discriminator_moments, strict=True):
            for index, moment in enumerate(moments):
                named[f"moment_{index}/{names[id(variable.value)]}"] = moment
        for domain, pool in (("a", self.pool_a), ("b", self.pool_b)):
            for kind, variable in (("images", pool.images), ("count", pool.count)):
                for replica, local in enumerate(strategy.experimental_local_results(variable)):
                    named[f"pool_{domain}/{kind}/{first_replica + replica}"] = local
        counters = {"step": self.step, "samples": self.samples, "skipped": self.skipped, "bad_streak": self.bad_streak}
        scaling = {} if self.loss_scale is None else self.loss_scale._asdict()
        return named | counters | {f"loss_scale/{kind}": variable for kind, variable in scaling.items()}


def blank(variables: Mapping[str, tf.Variable]) -> dict[str, np.ndarray]:
    """Arrays of zeros with the shapes and dtypes of variables, which take no memory."""
    return {
        name: np.broadcast_to(np.zeros([], variable.dtype.as_numpy_dtype), tuple(variable.shape))
        for name, variable in variables.items()
    }


def snapshot(variables: Mapping[str, tf.Variable], cluster: Cluster | None = None) -> dict[str, np.ndarray]:
    """A copy of the values of variables, which later steps do not change.

    Args:
        variables: the variables by their names.
        cluster: the processes that train together, which all call this. The chief gets the pools of all replicas.
    """
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    if cluster is None or cluster.num_processes == 1:
        return arrays
    for name in [name for name in arrays if is_of_replica(name)]:
        kind, _, replica = name.rpartition("/")
        for rank, data in enumerate(cluster.gather(arrays[name].tobytes())):
            number = int(replica) + (rank - cluster.rank) * cluster.num_local_replicas
            arrays[f"{kind}/{number}"] = np.frombuffer(data, arrays[name].dtype).reshape(arrays[name].shape)
    return arrays


def spread(arrays: Mapping[str, np.ndarray] | None, cluster: Cluster) -> dict[str, np.ndarray] | None:
    """The arrays of the chief, which all processes get. Those of the other processes are ignored."""
    if cluster.num_processes == 1:
        return None if arrays is None else dict(arrays)
    own = arrays or {}
    forms = [(name, array.dtype.str, array.shape) for name, array in own.items()]
    received = json.loads(cluster.from_chief(json.dumps(None if arrays is None else forms).encode()))
    if received is None:
        return None
    return {
        name: np.frombuffer(cluster.from_chief(own[name].tobytes() if cluster.is_chief else b""), dtype).reshape(shape)
        for name, dtype, shape in received
    }


def is_of_replica(name: str) -> bool:
    """Whether a name of a checkpoint ends with the number of a replica."""
    return name.rpartition("/")[2].isdigit()


def build_state(
    config: Config, strategy: tf.distribute.Strategy, length: Length, teachers: tuple[keras.Model, ...] = ()
) -> State:
    """The state before the first step.

    Args:
        config: the whole configuration.
        strategy: the strategy under which the variables are created.
        length: the length of the run.
        teachers: trained generators, ab and ba, that those of the run imitate, if any.
    """
    keras.utils.set_random_seed(config.training.seed)
    dtype = config.training.precision
    channels_a, channels_b = config.data.channels_a, config.data.channels_b
    size = config.data.crop_size

    with strategy.scope():

        def generators() -> tuple[keras.Model, keras.Model]:
            return (
                build_generator(config.generator, channels_a, channels_b, name="generator_ab", dtype=dtype),
                build_generator(config.generator, channels_b, channels_a, name="generator_ba", dtype=dtype),
            )

        def moments(*networks: keras.Model) -> list[tuple[tf.Variable, ...]]:
            initial = OPTIMIZERS[config.optimizer.name].initial
            variables = [variable for network in networks for variable in network.trainable_variables]
            return [
                tuple(_local(tf.fill(each.shape, tf.cast(start, each.dtype))) for start in initial)
                for each in variables
            ]

        generator_ab, generator_ba = generators()
        discriminator_a = build_discriminator(config.discriminator, channels_a, name="discriminator_a", dtype=dtype)
        discriminator_b = build_discriminator(config.discriminator, channels_b, name="discriminator_b", dtype=dtype)
        state = State(
            generator_ab=generator_ab,
            generator_ba=generator_ba,
            discriminator_a=discriminator_a,
            discriminator_b=discriminator_b,
            averages=generators() if config.training.ema_decay else (),
            teachers=teachers,
            generator_moments=moments(generator_ab, generator_ba),
            discriminator_moments=moments(discriminator_a, discriminator_b),
            pool_a=ImagePool(config.training.pool_size, (size, size, channels_a), image_dtype(dtype)),
            pool_b=ImagePool(config.training.pool_size, (size, size, channels_b), image_dtype(dtype)),
            step=_local(tf.zeros([], tf.int64)),
            samples=_local(tf.zeros([], tf.int64)),
            skipped=_local(tf.zeros([], tf.int64)),
            bad_streak=_local(tf.zeros([], tf.int64)),
            loss_scale=LossScale(_local(tf.constant(FIRST_SCALES)), _local(tf.zeros([3], tf.int64)))
            if dtype == "mixed_float16"
            else None,
            rate_factor=_local(tf.ones([], tf.float64)) if config.optimizer.schedule == "plateau" else None,
            length=length,
            global_batch=config.training.replica_batch * strategy.num_replicas_in_sync,
        )
        set_averages(state)
    return state


def _local(value: tf.Tensor) -> tf.Variable:
    """A variable that each replica assigns by itself, the same value on all of them, so that no replica waits."""
    return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.NONE)


def set_averages(state: State) -> None:
    """Sets the averages, if there are any, to the present weights of the generators."""
    for average, generator in zip(state.averages, (state.generator_ab, state.generator_ba), strict=False):
        average.set_weights(generator.get_weights())
