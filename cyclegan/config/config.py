"""The whole configuration of a run: its sections, and the rules that keys of several sections must obey."""

from collections.abc import Iterable, Iterator

import pydantic

from cyclegan.config.networks import UNET_INNER_LEVEL, DiscriminatorConfig, GeneratorConfig
from cyclegan.config.sections import (
    DataConfig,
    DistillationConfig,
    EvaluationConfig,
    HealthConfig,
    LossesConfig,
    OptimizerConfig,
    Section,
    TrainingConfig,
)

SMALLEST_SCORED = 16
"""The similarity of structure needs images of 11 pixels, and patches need 7 of the smallest level of a pyramid."""


class Config(Section):
    """The whole configuration of a run. It cannot be changed, and it is valid once it exists."""

    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    losses: LossesConfig = LossesConfig()
    distillation: DistillationConfig = DistillationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    health: HealthConfig = HealthConfig()

    @property
    def is_scored(self) -> bool:
        """Whether the run is scored while it trains, because images are held back for it."""
        return self.data.validation_fraction > 0

    @pydantic.model_validator(mode="after")
    def _keys_agree(self) -> "Config":
        if problems := list(_contradictions(self)):
            raise ValueError(one_line(problems))
        return self


def _contradictions(config: Config) -> Iterator[str]:
    data, losses, training = config.data, config.losses, config.training
    if (data.domain_a is None) != (data.domain_b is None):
        yield (
            "`data.domain_a` and `data.domain_b` must be given together. "
            f"Received: domain_a={data.domain_a}, domain_b={data.domain_b}."
        )
    if data.value_range and data.value_range[0] >= data.value_range[1]:
        yield f"`data.value_range` must be [low, high] with low < high. Received: {list(data.value_range)}."
    if data.resize != "none" and data.crop_size > data.load_size:
        yield (
            "`data.crop_size` must be at most `data.load_size`. "
            f"Received: crop_size={data.crop_size}, load_size={data.load_size}."
        )
    yield from _impossible_sizes(config)
    yield from _impossible_discriminators(config)
    yield from _impossible_evaluations(config)
    if losses.identity_weight > 0 and data.channels_a != data.channels_b:
        yield (
            "`data.channels_a` and `data.channels_b` must be equal for an identity loss. "
            f"Received: channels_a={data.channels_a}, channels_b={data.channels_b}, "
            f"identity_weight={losses.identity_weight}. To keep the channels, set losses.identity_weight=0."
        )
    if training.decay_epochs is not None and not training.steps and training.decay_epochs > training.epochs:
        yield (
            "`training.decay_epochs` must be at most `training.epochs`. "
            f"Received: decay_epochs={training.decay_epochs}, epochs={training.epochs}."
        )


def _impossible_sizes(config: Config) -> Iterator[str]:
    size, generator, discriminator = config.data.crop_size, config.generator, config.discriminator
    if size % generator.size_multiple or size < generator.min_size:
        yield (
            f"`data.crop_size` must be a multiple of {generator.size_multiple}, at least {generator.min_size}, because"
            f" the {generator.architecture} generator halves it {generator.num_halvings} times."
            f" Received: crop_size={size}"
            + (f", generator.num_levels={generator.num_levels}." if generator.architecture == "unet" else ".")
        )
    if generator.start == "copy" and (generator.output != "tanh" or config.data.channels_a != config.data.channels_b):
        yield (
            "`generator.start` must be random unless both domains have the same number of channels and"
            f" generator.output is tanh. Received: start=copy, channels_a={config.data.channels_a},"
            f" channels_b={config.data.channels_b}, output={generator.output}."
        )
    if generator.architecture == "unet" and generator.dropout and generator.num_levels < UNET_INNER_LEVEL + 1:
        yield (
            f"`generator.num_levels` must be at least {UNET_INNER_LEVEL + 1} for `generator.dropout` in a unet, which"
            f" acts from level {UNET_INNER_LEVEL} inwards, except at the innermost. Received:"
            f" num_levels={generator.num_levels}, dropout={generator.dropout}."
        )
    if discriminator.architecture == "pixel":
        return
    num_scales = discriminator.num_scales if discriminator.architecture == "multiscale" else 1
    # Each layer halves the size, each of the last two convolutions takes one pixel off it, and one score must be left.
    smallest = 3 * 2 ** (discriminator.num_layers + num_scales - 1)
    if size < smallest:
        scales = f" at {num_scales} scales" if num_scales > 1 else ""
        yield (
            f"`data.crop_size` must be at least {smallest} for {discriminator.num_layers} discriminator layers{scales}."
            f" Received: crop_size={size}, num_layers={discriminator.num_layers}."
        )


def _impossible_discriminators(config: Config) -> Iterator[str]:
    losses, normalization = config.losses, config.discriminator.normalization
    if losses.label_smoothing and losses.adversarial not in ("lsgan", "vanilla"):
        yield (
            "`losses.label_smoothing` must be 0 unless `losses.adversarial` is lsgan or vanilla, which have a target."
            f" Received: label_smoothing={losses.label_smoothing}, adversarial={losses.adversarial}."
        )
    if losses.adversarial == "wgan_gp" and losses.r1_weight:
        yield (
            "`losses.r1_weight` must be 0 if `losses.adversarial` is wgan_gp, which has its own gradient penalty."
            f" Received: r1_weight={losses.r1_weight}."
        )
    if (losses.adversarial == "wgan_gp" or losses.r1_weight) and normalization == "batch":
        yield (
            "`discriminator.normalization` must not be batch with a gradient penalty, which is computed for each image"
            " alone: use another normalization, or neither `losses.adversarial` wgan_gp nor `losses.r1_weight`."
            f" Received: normalization={normalization}, adversarial={losses.adversarial}, r1_weight={losses.r1_weight}."
        )
    if config.discriminator.architecture == "pixel" and config.discriminator.downsampling != "strided":
        yield (
            "`discriminator.downsampling` must be strided for the pixel architecture, which never halves the size."
            f" Received: downsampling={config.discriminator.downsampling}."
        )


def _impossible_evaluations(config: Config) -> Iterator[str]:
    data, evaluation = config.data, config.evaluation
    if evaluation.every_steps and evaluation.every_epochs:
        yield (
            "`evaluation.every_steps` and `evaluation.every_epochs` must not be given together. Received:"
            f" every_steps={evaluation.every_steps}, every_epochs={evaluation.every_epochs}."
        )
    if evaluation.metric != "swd" and evaluation.features is None:
        yield (
            "`evaluation.metric` must be swd if `evaluation.features` is null. Received:"
            f" metric={evaluation.metric}, features=null."
        )
    if not data.validation_fraction and (evaluation.patience or config.optimizer.schedule == "plateau"):
        yield (
            "`data.validation_fraction` must be above 0 for `evaluation.patience` and for the schedule plateau, which"
            f" need scores. Received: validation_fraction=0, patience={evaluation.patience},"
            f" schedule={config.optimizer.schedule}."
        )
    if data.validation_fraction and data.crop_size < SMALLEST_SCORED:
        yield (
            f"`data.crop_size` must be at least {SMALLEST_SCORED} for `data.validation_fraction`, because smaller"
            f" images cannot be scored. Received: crop_size={data.crop_size},"
            f" validation_fraction={data.validation_fraction}."
        )
    one_kind = data.channels_a == data.channels_b != 4
    if data.validation_fraction and not one_kind:
        given = f"channels_a={data.channels_a}, channels_b={data.channels_b}, features={evaluation.features}"
        if 4 in (data.channels_a, data.channels_b) and evaluation.features:
            yield f"`evaluation.features` must be null for images with 4 channels. Received: {given}."
        elif evaluation.features == "classifier":
            yield (
                "`evaluation.features` must not be classifier for domains with different numbers of channels."
                f" Received: {given}. Use another network, or null with evaluation.metric=swd."
            )


def _flat(config: Config) -> dict[str, object]:
    """The values by their dotted keys, in the order of the models."""
    sections = config.model_dump().items()
    return {f"{section}.{key}": value for section, keys in sections for key, value in keys.items()}


DEFAULTS = _flat(Config())
"""Each key that can be set, in the form "section.key", with its default."""

SAFE_TO_CHANGE = frozenset(
    {
        "data.cache_gib",
        "data.dataset",
        "data.domain_a",
        "data.domain_b",
        "data.max_bad_images",
        *(f"evaluation.{key}" for key in EvaluationConfig.model_fields),
        *(f"health.{key}" for key in HealthConfig.model_fields),
        "optimizer.learning_rate",
        "training.epochs",
        "training.steps",
        "training.decay_epochs",
        "training.jit_compile",
        "training.max_bad_steps",
        "training.steps_per_call",
        "training.checkpoint_every_minutes",
        "training.checkpoint_every_steps",
        "training.keep_checkpoints",
        "training.log_every_steps",
        "training.sample_every_steps",
        "training.num_samples",
    }
)
"""Keys that may change when a run continues. The images may have another place, but they must be the same images."""


def changed_keys(old: Config, new: Config) -> dict[str, tuple[object, object]]:
    """The keys whose values differ, in the form "section.key", each with its old and its new value."""
    before, after = _flat(old), _flat(new)
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def one_line(problems: Iterable[str]) -> str:
    """Joins problems to one line, even if a user's own keys and paths contain line breaks."""
    return " ".join("; ".join(problems).replace(".; ", "; ").split())
