"""The sections of a configuration: which keys can be set, to which values, and what they mean.

The defaults are the recipe of Zhu et al. 2017 as its PyTorch implementation trains it.
"""

from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

MAX_COUNT = 2**31 - 1
"""The largest whole number that is allowed, because TensorFlow's shapes and seeds have 32 bits."""

MAX_WEIGHT = 3e38
"""The largest weight that is allowed, because the losses are computed with 32 bits, which end at 3.4e38."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Channels = Literal[1, 3, 4]


class Section(BaseModel):
    """A group of keys that refuses unknown keys, other types and changes in place."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DataConfig(Section):
    """Where the images are, and how they are prepared for the networks."""

    dataset: Text = "stripes"
    """The images come from the data set of this name, or from this folder, which holds trainA and trainB."""
    domain_a: Text | None = None
    """The images of domain A come from this folder, and `dataset` is only a label; null means that they come from
    `dataset`.
    """
    domain_b: Text | None = None
    """The images of domain B come from this folder, which must be set together with `domain_a`; null means that they
    come from `dataset`.
    """
    test_fraction: Fraction = 0.1
    """This part of the images in `domain_a` and `domain_b` is kept for testing."""
    validation_fraction: Fraction = 0.0
    """This part of the training images is held back, and the scores of the run are made of them; 0 holds back none, and
    then nothing is scored while the run trains.
    """
    load_size: Count = 286
    """Images are resized to this many pixels before the crop."""
    crop_size: Count = 256
    """The networks see random square crops with sides of this many pixels."""
    resize: Literal["stretch", "keep-aspect", "none"] = "stretch"
    """stretch makes an image a square of `load_size`, keep-aspect makes its shorter side `load_size`, and none leaves
    it as it is unless it is smaller than the crop.
    """
    flip: bool = True
    """Half of the training images, chosen at random, are mirrored."""
    value_range: tuple[float, float] | None = None
    """These two pixel values become -1 and 1 in all images; null means the range of the file's type."""
    channels_a: Channels = 3
    """The networks see images of domain A with this many channels: 1 for grey, 3 for RGB, 4 for RGB and alpha."""
    channels_b: Channels = 3
    """The networks see images of domain B with this many channels: 1 for grey, 3 for RGB, 4 for RGB and alpha."""
    max_bad_images: CountOrZero = 10
    """The run ends with an error when more images than this cannot be used."""
    max_pixels: Count = 100_000_000
    """An image is refused before it is decoded if its width times its height is larger than this."""
    cache_gib: Weight = 4.0
    """Large images are kept at their load size in the data directory, in at most this many GiB; 0 keeps none."""

    @pydantic.field_validator("value_range", mode="before")
    @classmethod
    def _two_numbers(cls, value: object) -> object:
        """Turns the list of a YAML file into the tuple that strict validation requires."""
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError("must be two numbers [low, high]")
        return tuple(value)


class LossesConfig(Section):
    """Which losses the networks minimise, and how much each of them weighs."""

    adversarial: Literal["lsgan", "vanilla", "hinge", "wgan_gp"] = "lsgan"
    """The adversarial loss has this form."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The discriminators' target for real images is 1 minus this number, which must be 0 unless `adversarial` is lsgan
    or vanilla.
    """
    r1_weight: Weight = 0.0
    """The R1 penalty on the gradients of the scores of real images has this weight; 0 leaves it out."""
    r1_every_steps: Count = 1
    """The R1 penalty is computed in one of this many steps, and its weight is multiplied by this number there."""
    cycle_weight_a: Weight = 10.0
    """The loss of the cycle A -> B -> A has this weight."""
    cycle_weight_b: Weight = 10.0
    """The loss of the cycle B -> A -> B has this weight."""
    identity_weight: Weight = 0.5
    """The identity loss has this weight times the cycle weight of the same domain; 0 leaves it out."""
    identity_every_steps: Count = 1
    """The identity loss is computed in one of this many steps, and its weight is multiplied by this number there."""
    identity_fading: bool = False
    """The weight of the identity loss falls linearly and reaches 0 at the end of the run."""


class DistillationConfig(Section):
    """Trained generators that those of a run learn from, as `cyclegan distill` sets it up."""

    teacher: str | None = None
    """The generators imitate those of this run or bundle; null means that they learn without a teacher."""
    weight: Weight = 10.0
    """The mean absolute difference to the translations of the teacher has this weight."""


class OptimizerConfig(Section):
    """How gradients change the weights; the generators and the discriminators each have an optimizer of this kind."""

    name: Literal["adam", "adamw", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta"] = "adam"
    """The weights are updated by this rule; adam adds its epsilon after the bias correction, as the reference does."""
    learning_rate: Positive = 2e-4
    """The learning rate has this value before any decay."""
    beta_1: Fraction = 0.5
    """In adam and adamw, the running mean of the gradients decays by this factor in each step."""
    beta_2: Fraction = 0.999
    """In adam and adamw, the running mean of the squared gradients decays by this factor in each step."""
    epsilon: Positive = 1e-8
    """This number keeps the division by the root of the squared gradients finite; sgd, momentum and nesterov do not use
    it.
    """
    momentum: Fraction = 0.9
    """In momentum and nesterov, this part of the last update is kept."""
    weight_decay: Weight = 0.01
    """In adamw, each step subtracts this part of the weights, times the learning rate."""
    schedule: Literal["constant", "linear", "cosine", "step", "plateau"] = "linear"
    """linear and cosine let the learning rate fall over the last `training.decay_epochs`, step divides it by ten after
    every `step_epochs`, plateau lets it fall when `evaluation.metric` stays, and constant keeps it.
    """
    step_epochs: Count = 50
    """With the schedule step, the learning rate is divided by ten each time this many epochs have passed."""
    plateau_patience: Count = 5
    """With the schedule plateau, the learning rate falls when this many evaluations in a row are not better than the
    best one before.
    """
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """With the schedule plateau, the learning rate is multiplied by this number when it falls."""


class EvaluationConfig(Section):
    """When a run is scored while it trains, and by what. It is, if `data.validation_fraction` holds images back."""

    every_minutes: Positive = 30.0
    """The run is scored each time that this many minutes have passed, more rarely if scoring takes more than a
    twentieth of the time, and at the end of the run.
    """
    every_steps: Count | None = None
    """The run is scored each time that this many steps have passed, and `every_minutes` is ignored; null means that
    the minutes decide.
    """
    every_epochs: Count | None = None
    """The run is scored each time that this many epochs have passed, and `every_minutes` is ignored; null means that
    the minutes decide.
    """
    metric: Literal["swd", "kid", "frechet", "share"] = "swd"
    """The bundle with the smallest value of this is kept as the best one: a distance to real images, divided by that of
    untranslated images; share is the part of the translations that the features do not take for their new domain.
    """
    features: Text | None = None
    """The network for kid, frechet and share: classifier, which is trained on the training images; keras:NAME; or a
    .tflite file, a .keras file or a SavedModel. null means that swd alone is computed, which needs none.
    """
    max_images: Annotated[int, Field(ge=2, le=100_000)] = 200
    """At most this many validation images of each domain are scored."""
    patience: Count | None = None
    """The run ends when this many evaluations in a row are not better than the best one before; null means never."""


class HealthConfig(Section):
    """How a run is watched while it trains."""

    every_steps: Count = 500
    """The run is examined each time that this many steps have passed."""
    action: Literal["warn", "stop", "rollback"] = "warn"
    """A run that is ill prints a warning (warn), is saved and ends (stop), or goes on from its last healthy checkpoint
    with another order of the images (rollback).
    """


class TrainingConfig(Section):
    """How long a run is, how it computes, and what it writes."""

    batch_size: Annotated[int, Field(ge=1, le=1024)] = 1
    """Each replica takes this many images of each domain in a step, times `accumulate_steps`."""
    accumulate_steps: Annotated[int, Field(ge=1, le=1024)] = 1
    """The gradients of this many batches are summed before the weights are updated, which has the result of a larger
    batch with the memory of a small one.
    """
    recompute: bool = False
    """The gradients compute the images of the generators again instead of keeping what led to them, which takes more
    time and less memory.
    """
    clip_norm: Positive | None = None
    """Gradients are scaled down to this norm if theirs is larger, those of both generators together and those of both
    discriminators together; null means that they stay as they are.
    """
    epochs: Count = 200
    """The run lasts this many epochs; an epoch shows each image of the larger domain once."""
    steps: Count | None = None
    """The run lasts this many steps, and `epochs` is ignored; null means that `epochs` decides."""
    decay_epochs: CountOrZero | None = None
    """The learning rate decays over this many epochs at the end of the run, after each epoch, or after each step if
    `steps` is set; null means the second half of the run.
    """
    ema_decay: Fraction = 0.0
    """The bundle holds a running average of the generators' weights that decays by this factor in each step; 0 means
    that it holds the weights themselves.
    """
    pool_size: CountOrZero = 50
    """This many translated images are kept for the discriminators, for each domain and replica; 0 means that none are
    kept.
    """
    jit_compile: Literal["auto"] | bool = "auto"
    """The step is compiled with XLA; auto compiles it where that is faster."""
    precision: Literal["float32", "float64", "mixed_bfloat16", "mixed_float16", "auto"] = "float32"
    """The networks compute in this precision; mixed_float16 scales the losses, because it has a small range; auto takes
    mixed_bfloat16 where that is faster on the first machine of a run, and float32 elsewhere.
    """
    deterministic: bool = False
    """Every run gives the same bits, at some cost of speed."""
    max_bad_steps: Count = 10
    """A step whose losses, gradients or new weights are not finite is skipped on all replicas; the run ends after this
    many of them in a row.
    """
    seed: CountOrZero = 0
    """The weights, the order of the images, crops, flips and image pools are drawn from this seed."""
    steps_per_call: Literal["auto"] | Count = "auto"
    """TensorFlow computes this many steps before it returns to Python, and the results do not depend on it; auto makes
    the calls last about a second.
    """
    checkpoint_every_minutes: Positive = 10.0
    """A checkpoint is written each time this many minutes have passed, and at the end of the run."""
    checkpoint_every_steps: Count | None = None
    """A checkpoint is written each time this many steps have passed, and `checkpoint_every_minutes` is ignored; null
    means that the minutes decide.
    """
    keep_checkpoints: Count = 3
    """This many of the newest checkpoints are kept."""
    log_every_steps: Count = 50
    """Scalars are written to TensorBoard each time this many steps have passed."""
    sample_every_steps: Count = 500
    """An image grid is written each time this many steps have passed, and ever more rarely after the first 20 grids."""
    num_samples: Count = 4
    """An image grid shows this many test images of each domain."""

    @property
    def replica_batch(self) -> int:
        """The images of each domain that a replica takes in a step."""
        return self.batch_size * self.accumulate_steps


def image_dtype(precision: str) -> str:
    """The dtype of images, scores and losses: float64 if the networks compute in float64, otherwise float32."""
    return "float64" if precision == "float64" else "float32"
