"""From the parts of a step to the function that makes steps: the input, the choice of what XLA compiles, the record."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator

import tensorflow as tf

from cyclegan.config.sections import image_dtype
from cyclegan.data.batches import ImageReader, Share, build_pipeline
from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.compilation import Parts, choose_compilation
from cyclegan.training.length import Session
from cyclegan.training.pacing import Made, MakeSteps
from cyclegan.training.record import Choice, RunRecord, write_run
from cyclegan.training.reporting.progress import Progress
from cyclegan.training.run_directory import Plan
from cyclegan.training.state import State
from cyclegan.training.step import build_step, build_steps

OUT_OF_MEMORY = (
    "Out of memory. Use a smaller `training.batch_size`, with a larger `training.accumulate_steps` for the same result,"
    " or a smaller `data.crop_size` or `generator.filters`; --dry-run estimates how much memory a configuration needs."
)


def build_step_maker(
    state: State,
    plan: Plan,
    record: RunRecord,
    cluster: Cluster,
    readers: tuple[ImageReader, ImageReader],
    session: Session,
    progress: Progress,
) -> tuple[MakeSteps, RunRecord]:
    """Makes a function that makes steps. XLA compiles it as the record says. A new run decides that, and records it.

    Returns:
        The function, and the record with the decision.
    """
    config, strategy = plan.config, cluster.strategy
    dtype = image_dtype(config.training.precision)

    def batches(first_sample: int, num_steps: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            num_local, batch = (
                context.num_replicas_in_sync // context.num_input_pipelines,
                config.training.replica_batch,
            )
            first = context.input_pipeline_id * num_local * batch
            own = Share(session.global_batch, first, num_local, batch)
            pipeline = build_pipeline(readers, dtype, first_sample, num_steps, own)
            # Otherwise several processes ask each other before each step whether all of them have a batch left.
            return pipeline.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return iter(strategy.distribute_datasets_from_function(share))

    iterator = batches(session.first_sample, session.num_steps)

    def choose(made: Choice | None) -> tuple[Parts, Choice]:
        return choose_compilation(state, config, strategy, lambda: next(batches(0, 1)), session.num_steps, made)

    made = record.compilation
    with cluster.together():  # the chief finds out what is faster, and the others do the same
        chosen = choose(made) if cluster.is_chief else None
        if chosen and made is None:
            write_run(plan.folder, config, record.model_copy(update={"compilation": chosen[1]}))
    choice = Choice(**json.loads(cluster.from_chief(json.dumps(chosen and dataclasses.asdict(chosen[1])).encode())))
    record = record.model_copy(update={"compilation": choice})
    with cluster.together():
        parts, _ = chosen or choose(choice)
    progress.line(f"XLA compiles {_compiled_parts(choice)}: {choice.reason}.")
    step = build_step(state, strategy, parts.gradients, parts.update)
    step_many = build_steps(step, state, dtype, config.training.max_bad_steps)

    def make_steps(num_steps: int) -> Made:
        with naming_failures(readers), cluster.naming_the_lost():
            made, bad_streak = step_many(iterator, tf.constant(num_steps))
            metrics = {tag: values.numpy() for tag, values in made.metrics.items()}
            return Made(metrics, made.is_taken.numpy(), made.is_bad.numpy(), int(bad_streak))

    return make_steps, record


def _compiled_parts(choice: Choice) -> str:
    parts = [
        name for name, compiled in (("the gradients", choice.gradients), ("the update", choice.update)) if compiled
    ]
    return " and ".join(parts) or "nothing"


@contextlib.contextmanager
def naming_failures(readers: tuple[ImageReader, ImageReader]) -> Iterator[None]:
    """Names the files that are broken, where TensorFlow only says that its input failed."""
    try:
        yield
    except tf.errors.OpError as error:
        for reader in readers:
            if reader.failure:
                raise reader.failure from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise CycleganError(OUT_OF_MEMORY) from error
        raise
    except MemoryError as error:
        raise CycleganError(OUT_OF_MEMORY) from error
