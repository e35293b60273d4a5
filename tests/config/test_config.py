import pydantic
import pytest

from cyclegan.config.config import DEFAULTS, SAFE_TO_CHANGE, Config, changed_keys
from cyclegan.config.files import load_config


def test_defaults_are_the_reference_recipe():
    config = Config()
    assert (config.data.load_size, config.data.crop_size, config.data.flip) == (286, 256, True)
    assert (config.generator.filters, config.generator.num_blocks) == (64, 9)
    assert (config.discriminator.filters, config.discriminator.num_layers) == (64, 3)
    assert (config.losses.cycle_weight_a, config.losses.cycle_weight_b) == (10.0, 10.0)
    assert config.losses.identity_weight == 0.5
    assert config.optimizer.learning_rate == 2e-4
    assert (config.optimizer.beta_1, config.optimizer.beta_2, config.optimizer.epsilon) == (0.5, 0.999, 1e-8)
    assert (config.training.batch_size, config.training.epochs, config.training.pool_size) == (1, 200, 50)


def test_configuration_cannot_be_changed_in_place():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Config().training.epochs = 3


def test_crop_larger_than_load_is_refused(refusal):
    message = refusal(overrides=[("data.load_size", 128)])
    expected = "`data.crop_size` must be at most `data.load_size`. Received: crop_size=256, load_size=128."
    assert message == expected


def test_load_size_does_not_matter_where_nothing_is_resized():
    assert load_config(None, [("data.load_size", 128), ("data.resize", "none")]).data.crop_size == 256


def test_crop_that_cannot_be_halved_twice_is_refused(refusal):
    assert "multiple of 4" in refusal(overrides=[("data.crop_size", 254)])


# Hand-worked for three layers: 24 -> 12 -> 6 -> 3, then 2 and 1 score; 20 -> 10 -> 5 -> 2, then 1 and none.
# One layer: 8 -> 4, then 3 and 2 scores; at 4 the residual blocks would reflect a pixel of a 1x1 image.
@pytest.mark.parametrize(
    ("num_layers", "smallest", "too_small"), [(1, 8, 4), (2, 12, 8), (3, 24, 20), (4, 48, 44), (5, 96, 92)]
)
def test_crop_must_leave_a_score_and_something_to_reflect(refusal, num_layers, smallest, too_small):
    layers = ("discriminator.num_layers", num_layers)
    assert load_config(None, [layers, ("data.crop_size", smallest)]).data.crop_size == smallest
    message = refusal(overrides=[layers, ("data.crop_size", too_small)])
    assert f"at least {smallest}" in message and f"crop_size={too_small}" in message


def test_identity_loss_between_different_channels_is_refused_with_the_way_out(refusal):
    channels = ("data.channels_a", 1)
    assert "set losses.identity_weight=0" in refusal(overrides=[channels])
    assert load_config(None, [channels, ("losses.identity_weight", 0)]).data.channels_a == 1


def test_decay_longer_than_the_run_is_refused(refusal):
    assert "decay_epochs=201, epochs=200" in refusal(overrides=[("training.decay_epochs", 201)])
    assert load_config(None, [("training.decay_epochs", 200)]).training.decay_epochs == 200


def test_one_domain_without_the_other_is_refused(refusal):
    assert "given together" in refusal(overrides=[("data.domain_b", "zebras")])
    both = load_config(None, [("data.domain_a", "horses"), ("data.domain_b", "zebras")])
    assert (both.data.domain_a, both.data.domain_b) == ("horses", "zebras")


@pytest.mark.parametrize("value_range", [[1, 0], [3, 3]])
def test_value_range_must_rise(refusal, value_range):
    assert "low < high" in refusal(overrides=[("data.value_range", value_range)])


def test_contradictions_hold_for_the_python_api_too():
    with pytest.raises(pydantic.ValidationError, match="at most `data.load_size`"):
        Config(data={"load_size": 64})


def test_changed_keys_are_dotted_with_both_values():
    new = load_config(None, [("training.epochs", 300), ("data.value_range", [0, 1])])
    assert changed_keys(Config(), new) == {
        "data.value_range": (None, (0.0, 1.0)),
        "training.epochs": (200, 300),
    }
    assert changed_keys(new, new) == {}


def test_keys_that_are_safe_to_change_exist_and_leave_the_mathematics_alone():
    assert set(DEFAULTS) >= SAFE_TO_CHANGE
    assert not {key for key in SAFE_TO_CHANGE if key.startswith(("generator.", "discriminator.", "losses."))}
    assert not SAFE_TO_CHANGE & {
        "optimizer.name",
        "training.seed",
        "training.batch_size",
        "training.pool_size",
        "training.precision",
    }
