"""Everything that a training run remembers. It is built in one place and registered for checkpoints in one place."""

import dataclasses

import keras
import tensorflow as tf

from cyclegan.config.config import Config
from cyclegan.config.sections import image_dtype
from cyclegan.networks.discriminators import build_discriminator
from cyclegan.networks.generators import build_generator
from cyclegan.training.image_pool import ImagePool
from cyclegan.training.length import run_length
from cyclegan.training.optimizers import build_optimizer
from cyclegan.training.schedules import build_schedule


@dataclasses.dataclass(frozen=True)
class State:
    """Networks, optimizers, image pools and the step counter of a run.

    `generator_ab` maps domain A to B; `discriminator_a` judges images of domain A; `pool_a` holds fakes of domain A.
    `averages` are copies of the generators, ab and ba, whose weights are running averages, if the run keeps them.
    `num_steps` is the length of the run.
    """

    generator_ab: keras.Model
    generator_ba: keras.Model
    discriminator_a: keras.Model
    discriminator_b: keras.Model
    averages: tuple[keras.Model, ...]
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    pool_a: ImagePool
    pool_b: ImagePool
    step: tf.Variable
    num_steps: int

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
        """Weights of both generators, in the order of their optimizer."""
        variables: list[keras.Variable] = self.generator_ab.trainable_variables + self.generator_ba.trainable_variables
        return variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of both discriminators, in the order of their optimizer."""
        variables: list[keras.Variable] = (
            self.discriminator_a.trainable_variables + self.discriminator_b.trainable_variables
        )
        return variables

    def trackable(self, strategy: tf.distribute.Strategy) -> tf.train.Checkpoint:
        """The whole state as one object that TensorFlow can save and restore.

        The pools are listed replica by replica. If they were saved as distributed variables, they would come back
        averaged, or each replica would get the same pool.
        """

        def local(variable: tf.Variable) -> list[tf.Variable]:
            return list(strategy.experimental_local_results(variable))

        return tf.train.Checkpoint(
            generator_ab=self.generator_ab,
            generator_ba=self.generator_ba,
            discriminator_a=self.discriminator_a,
            discriminator_b=self.discriminator_b,
            generator_optimizer=self.generator_optimizer,
            discriminator_optimizer=self.discriminator_optimizer,
            **({"averages": list(self.averages)} if self.averages else {}),
            pools={
                "a": {"images": local(self.pool_a.images), "count": local(self.pool_a.count)},
                "b": {"images": local(self.pool_b.images), "count": local(self.pool_b.count)},
            },
            step=self.step,
        )


def build_state(config: Config, strategy: tf.distribute.Strategy, steps_per_epoch: int) -> State:
    """The state before the first step. Everything is created, including the slots of the optimizers.

    Args:
        config: the whole configuration.
        strategy: the strategy under which the variables are created.
        steps_per_epoch: the number of steps of an epoch, for the learning rate.
    """
    keras.utils.set_random_seed(config.training.seed)
    dtype = config.training.precision
    channels_a, channels_b = config.data.channels_a, config.data.channels_b
    size = config.data.crop_size
    length = run_length(config.training, steps_per_epoch)

    with strategy.scope():

        def generators() -> tuple[keras.Model, keras.Model]:
            return (
                build_generator(config.generator, channels_a, channels_b, name="generator_ab", dtype=dtype),
                build_generator(config.generator, channels_b, channels_a, name="generator_ba", dtype=dtype),
            )

        generator_ab, generator_ba = generators()
        state = State(
            generator_ab=generator_ab,
            generator_ba=generator_ba,
            discriminator_a=build_discriminator(config.discriminator, channels_a, name="discriminator_a", dtype=dtype),
            discriminator_b=build_discriminator(config.discriminator, channels_b, name="discriminator_b", dtype=dtype),
            averages=generators() if config.training.ema_decay else (),
            generator_optimizer=build_optimizer(
                config.optimizer,
                build_schedule(config.optimizer, steps_per_epoch, length.num_epochs, length.decay_epochs),
                name="generator_optimizer",
            ),
            discriminator_optimizer=build_optimizer(
                config.optimizer,
                build_schedule(config.optimizer, steps_per_epoch, length.num_epochs, length.decay_epochs),
                name="discriminator_optimizer",
            ),
            pool_a=ImagePool(config.training.pool_size, (size, size, channels_a), image_dtype(dtype)),
            pool_b=ImagePool(config.training.pool_size, (size, size, channels_b), image_dtype(dtype)),
            step=tf.Variable(
                0,
                dtype=tf.int64,
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            ),
            num_steps=length.num_steps,
        )
        set_averages(state)
        # A checkpoint that is restored into an optimizer without slots would lose them silently.
        state.generator_optimizer.build(state.generator_variables)
        state.discriminator_optimizer.build(state.discriminator_variables)
    return state


def set_averages(state: State) -> None:
    """Sets the averages, if there are any, to the present weights of the generators."""
    for average, generator in zip(state.averages, (state.generator_ab, state.generator_ba), strict=False):
        average.set_weights(generator.get_weights())
