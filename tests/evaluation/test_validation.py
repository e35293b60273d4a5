import numpy as np
import pytest
import tensorflow as tf

from cyclegan.evaluation.features import Extractor, Features
from cyclegan.evaluation.validation import METRICS, Images, Interrupted, Validator

RNG = np.random.default_rng(0)


def colours(images):
    """Mean and spread of each channel, and whether an image is bright."""
    values = np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    return Features(values, (images.mean(axis=(1, 2, 3)) > 0).astype(int))


EXTRACTOR = Extractor("colours", "0" * 64, colours, ("dark", "bright"))


def domain(brightness, number=12):
    noise = RNG.normal(0, 0.1, (number, 32, 32, 3)) + RNG.normal(brightness, 0.1, (number, 1, 1, 1))
    return np.float32(np.clip(noise, -1, 1))


A, B = domain(-0.5), domain(0.5)
IMAGES = Images(A, B, A, B)


def copy(images, training):
    return tf.convert_to_tensor(images)


def brighten(images, training):
    return tf.convert_to_tensor(images) + 1


def darken(images, training):
    return tf.convert_to_tensor(images) - 1


def scores(forward, back, extractor=EXTRACTOR):
    return Validator(IMAGES, forward, back, extractor, seed=0).scores()


def test_a_copy_of_the_input_has_all_metrics_one():
    found = scores(copy, copy)
    assert [found[name] for name in METRICS] == pytest.approx([1, 1, 1, 1])
    assert found["ab/share"] == found["ba/share"] == found["ab/cycle L1"] == 0


def test_a_perfect_translation_has_metrics_near_zero():
    found = scores(brighten, darken)
    assert found["share"] == 0 and found["ab/share"] == found["ba/share"] == 1
    assert abs(found["kid"]) < 0.05 and found["frechet"] < 0.05


def test_a_metric_is_the_mean_of_both_directions():
    """The distance of patches does not see brightness, so noise stands for the translation."""
    one, both = scores(brighten, copy), scores(brighten, darken)
    assert one["kid"] == pytest.approx((both["ab/KID"] / scores(copy, copy)["ab/KID"] + 1) / 2)
    assert one["share"] == 0.5


def test_without_an_extractor_the_patches_are_compared():
    found = scores(copy, copy, None)
    assert found["swd"] == pytest.approx(1)
    assert not found.keys() & {"kid", "frechet", "share", "ab/KID"}


def test_generators_may_change_between_two_calls():
    gain = tf.Variable(0.0)
    validator = Validator(IMAGES, lambda images, training: images + gain, darken, EXTRACTOR, seed=0)
    before = validator.scores()
    gain.assign(1.0)
    after = validator.scores()
    assert (before["ab/share"], after["ab/share"]) == (0, 1)
    assert validator.scores() == after


def test_what_a_translation_keeps_is_measured():
    found = scores(brighten, darken)
    assert found["ab/cycle L1"] == pytest.approx(0, abs=1e-6)
    assert found["ab/identity L1"] == pytest.approx(1, abs=1e-6)  # the mean of |image + 1 - image|


def test_an_evaluation_can_be_given_up_between_two_batches():
    asked = []

    def is_interrupted():
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(Interrupted):
        Validator(IMAGES, copy, copy, EXTRACTOR, seed=0).scores(is_interrupted)
    assert len(asked) == 2


def test_the_protocol_names_images_extractor_and_seed():
    first = Validator(IMAGES, copy, copy, EXTRACTOR, seed=0).protocol
    assert Validator(IMAGES, brighten, darken, EXTRACTOR, seed=0).protocol == first
    others = [(IMAGES, None, 0), (IMAGES, EXTRACTOR, 1), (IMAGES._replace(a=A + 0.1), EXTRACTOR, 0)]
    assert first not in {Validator(images, copy, copy, extractor, seed).protocol for images, extractor, seed in others}


def test_without_classes_there_is_no_share():
    nameless = EXTRACTOR._replace(compute=lambda images: Features(colours(images).values, None))
    assert Validator(IMAGES, copy, copy, nameless, seed=0).metrics == ["kid", "frechet", "swd"]


def test_domains_that_are_alike_do_not_make_a_metric_explode():
    alike = Images(A, domain(-0.5), A, domain(-0.5))
    found = Validator(alike, copy, copy, EXTRACTOR, seed=0).scores()
    assert abs(found["kid"]) < 10
