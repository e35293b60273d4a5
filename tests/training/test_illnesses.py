import pytest

from cyclegan.training.illnesses import ILLNESSES, count_healthy, count_unsuspected, diagnose

HEALTHY = {
    "spoiled": 0.0,
    "correlation": 0.6,
    "change": 0.2,
    "contrast": 0.3,
    "saturation": 0.0,
    "variety": 0.8,
    "sensitivity": 0.5,
    "grid": 0.01,
    "cycle": 0.15,
    "discriminator": 0.7,
}
ILL = {
    "spoiled output": {"spoiled": 0.1},
    "inverted colours": {"correlation": -0.3},
    "copies": {"change": 0.005},
    "constant output": {"contrast": 0.01},
    "saturated output": {"saturation": 0.4},
    "mode collapse": {"variety": 0.01},
    "hidden code": {"sensitivity": 20.0},
    "grid": {"grid": 0.1},
    "discriminator won": {"discriminator": 0.01},
    "discriminator lost": {"discriminator": 1.0},
    "rising cycle loss": {"cycle": 0.31},
}


def findings(ab=(), ba=()):
    """What an examination finds where a direction has some symptoms of an illness."""
    found = {}
    for direction, changes in (("ab", ab), ("ba", ba)):
        found |= {f"{direction}/{name}": value for name, value in (HEALTHY | dict(changes)).items()}
    return found


def test_a_healthy_run_has_no_illness():
    assert diagnose([findings()] * 20) == {}


def test_every_illness_is_tried():
    assert ILL.keys() == ILLNESSES.keys()


@pytest.mark.parametrize("name", ILL)
@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_an_illness_is_found_when_it_lasts(name, direction):
    ill, lasting = findings(**{direction: ILL[name]}), ILLNESSES[name].examinations
    start = [findings()] * 3
    assert diagnose([*start, *[ill] * (lasting - 1)]) == {}
    assert list(diagnose([*start, *[ill] * lasting])) == [f"{name} {direction}"]
    assert diagnose([*start, *[ill] * lasting, findings()]) == {}


def test_a_diagnosis_names_the_direction_and_the_domain():
    found = diagnose([findings(ba=ILL["discriminator won"])] * 5)
    (illness,) = found.values()
    assert illness.text.startswith("discriminator A tells all translations from real images")
    found = diagnose([findings(ab=ILL["mode collapse"])] * 3)
    (illness,) = found.values()
    assert illness.text == "the translations A to B of different images are alike"
    assert illness.remedy.startswith(
        "lower optimizer.learning_rate, or start a new run with a higher cycle weight of domain A"
    )


def test_losses_that_are_not_known_show_nothing():
    unknown = {name: value for name, value in findings().items() if "discriminator" not in name and "cycle" not in name}
    assert diagnose([unknown] * 10) == {}


def without(found, *names):
    return {name: value for name, value in found.items() if name.split("/")[1] not in names}


def test_an_examination_that_says_nothing_of_an_illness_does_not_interrupt_it():
    won = findings(ab=ILL["discriminator won"])
    unknown = without(won, "discriminator")
    assert diagnose([won, won, unknown, won, won]) == {}
    found = [won, won, unknown, won, unknown, won, won]
    assert list(diagnose(found)) == list(diagnose([*found, unknown])) == ["discriminator won ab"]


def test_only_an_examination_that_knows_shows_that_an_illness_is_not_there():
    won, healthy = findings(ab=ILL["discriminator won"]), findings()
    unknown = without(healthy, "discriminator")
    assert count_healthy([healthy, unknown, *[won] * 3, unknown, *[won] * 2]) == 1
    assert count_unsuspected([healthy, unknown]) == 1
    assert count_unsuspected([unknown, unknown]) == 2  # as with an adversarial loss for which guessing costs nothing
    assert count_healthy([unknown, *[won] * 5]) == 1  # nothing was known of it before, as in an earlier version
    assert count_healthy([won] * 5) == 0


def test_the_cycle_loss_of_a_network_that_begins_as_a_copy_may_rise():
    start, later = ({"ab/cycle": value, "ba/cycle": value} for value in (0.005, 0.19))
    assert diagnose([start, *[later] * 5]) == {}
    assert "rising cycle loss ab" in diagnose([start, *[{"ab/cycle": 0.21}] * 3])


def test_the_examinations_before_the_first_sign_are_counted():
    inverted, collapsed = findings(ab=ILL["inverted colours"]), findings(ba=ILL["mode collapse"])
    assert count_healthy([findings()] * 4) == 4
    assert count_healthy([findings()] * 4 + [inverted] * 5) == 4
    assert count_healthy([inverted] * 3) == 0
    both = findings(ab=ILL["inverted colours"], ba=ILL["mode collapse"])
    assert count_healthy([findings(), collapsed, *[both] * 3]) == 1


def test_examinations_up_to_the_last_without_a_sign_are_counted():
    inverted = findings(ab=ILL["inverted colours"])
    assert count_unsuspected([findings(), findings(), inverted]) == 2
    assert count_unsuspected([inverted, findings()]) == 2
    assert count_unsuspected([inverted]) == count_unsuspected([]) == 0


def test_a_symptom_that_is_not_known_shows_nothing():
    assert diagnose([{"ab/correlation": 0.5}] * 10) == {}
