import pathlib
import subprocess
import sys

import pytest

from cyclegan.config import files as config_files
from cyclegan.config.config import Config, changed_keys
from cyclegan.config.files import default_preset, dump_config, load_config, parse_override, preset_names, preset_path
from cyclegan.errors import UsageError


@pytest.fixture
def write(tmp_path: pathlib.Path):
    def write(text: str) -> str:
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_importing_the_configuration_leaves_tensorflow_out():
    code = "import sys, cyclegan.config.files; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.epochs", "5", "must be a valid integer. Received: '5'."),
        ("training.epochs", 5.0, "must be a valid integer. Received: 5.0."),
        ("training.epochs", True, "must be a valid integer. Received: True."),
        ("training.epochs", None, "must be a valid integer. Received: None."),
        ("training.epochs", 0, "must be greater than or equal to 1. Received: 0."),
        ("training.epochs", 2**31, "must be less than or equal to 2147483647. Received: 2147483648."),
        ("training.steps", "none", "must be a valid integer or null. Received: 'none'."),
        ("training.jit_compile", 1, "must be 'auto' or a valid boolean. Received: 1."),
        ("training.steps_per_call", "all", "must be 'auto' or a valid integer. Received: 'all'."),
        (
            "training.precision",
            "float16",
            "must be 'float32', 'float64', 'mixed_bfloat16', 'mixed_float16' or 'auto'. Received: 'float16'.",
        ),
        ("data.flip", "yes", "must be a valid boolean. Received: 'yes'."),
        ("data.dataset", 7, "must be a valid string. Received: 7."),
        ("data.channels_a", 2, "must be 1, 3 or 4. Received: 2."),
        ("data.test_fraction", 1, "must be less than 1. Received: 1."),
        ("discriminator.num_layers", 6, "must be less than or equal to 5. Received: 6."),
        ("losses.identity_weight", -0.5, "must be greater than or equal to 0. Received: -0.5."),
        ("optimizer.learning_rate", "2e-4", "must be a valid number. Received: '2e-4'."),
        ("optimizer.learning_rate", float("nan"), "must be a finite number. Received: nan."),
        ("optimizer.learning_rate", float("inf"), "must be a finite number. Received: inf."),
        ("optimizer.learning_rate", 0, "must be greater than 0. Received: 0."),
        ("data.value_range", 255, "must be two numbers [low, high] or null. Received: 255."),
        ("data.value_range", [0, 1, 2], "must be two numbers [low, high] or null. Received: [0, 1, 2]."),
        ("data.value_range", [], "must be two numbers [low, high] or null. Received: []."),
    ],
)
def test_wrong_value_is_refused_with_what_is_allowed(refusal, key, value, expected):
    assert refusal(overrides=[(key, value)]) == f"`{key}` {expected}"


def test_wrong_number_in_a_list_is_named_by_its_index(refusal):
    message = refusal(overrides=[("data.value_range", [0, "x"])])
    assert message == "`data.value_range.1` must be a valid number. Received: 'x'."


def test_long_values_are_cut_in_messages(refusal):
    assert len(refusal(overrides=[("training.epochs", "x" * 10_000)])) < 200


def test_whole_number_is_taken_for_a_float():
    config = load_config(None, [("losses.cycle_weight_a", 5), ("data.value_range", [0, 4095])])
    assert config.losses.cycle_weight_a == 5.0
    assert config.data.value_range == (0.0, 4095.0)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("training.epoch", "training.epochs"),
        ("training.Epochs", "training.epochs"),
        ("trainning.epochs", "training.epochs"),
        ("training.learning_rate", "optimizer.learning_rate"),
        ("batch_size", "training.batch_size"),
        ("discrimnator.filters", "discriminator.filters"),
        ("genrator.filters", "generator.filters"),
        ("losses.identity", "losses.identity_weight"),
        ("optimiser", "optimizer"),
    ],
)
def test_unknown_key_suggests_the_nearest(refusal, key, nearest):
    assert refusal(overrides=[(key, 5)]) == f"unknown key `{key}`; did you mean `{nearest}`?"


def test_unknown_key_in_a_file_suggests_the_nearest(refusal, write):
    message = refusal(write("training: {epoch: 5}\noptimiser: {name: adam}\nbatch_size: 3"))
    assert "unknown key `training.epoch`; did you mean `training.epochs`?" in message
    assert "unknown key `optimiser`; did you mean `optimizer`?" in message
    assert "unknown key `batch_size`; did you mean `training.batch_size`?" in message


def test_unknown_key_that_is_near_to_none_lists_what_there_is(refusal):
    message = refusal(overrides=[("optimizer.xyzzy", 1)])
    keys = "name, learning_rate, beta_1, beta_2, epsilon, momentum, weight_decay, schedule, step_epochs"
    keys += ", plateau_patience, plateau_factor"
    expected = f"the keys of `optimizer` are {keys}"
    assert message == f"unknown key `optimizer.xyzzy`; {expected}"
    assert refusal(overrides=[("a.b.c", 1)]).startswith("unknown key `a.b.c`; the sections are data, generator,")


def test_section_cannot_be_overridden_as_a_whole(refusal):
    assert refusal(overrides=[("training", {"epochs": 3})]) == "`training` is a section; set one of its keys"


def test_all_problems_are_reported_at_once(refusal):
    message = refusal(overrides=[("training.epoch", 5), ("data.flip", 1), ("generator.filters", 0)])
    assert message == (
        "unknown key `training.epoch`; did you mean `training.epochs`?; "
        "`data.flip` must be a valid boolean. Received: 1; "
        "`generator.filters` must be greater than or equal to 1. Received: 0."
    )


def test_overrides_are_stronger_than_the_file_and_the_last_one_counts(write):
    source = write("training:\n  epochs: 7\n  seed: 1\n")
    config = load_config(source, [("training.epochs", 8), ("training.epochs", 9)])
    assert (config.training.epochs, config.training.seed) == (9, 1)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "training:\n", "training:\n  # epochs: 3\ndata: {}\n"])
def test_what_a_file_leaves_out_is_the_default(write, text):
    assert load_config(write(text)) == Config()


@pytest.mark.parametrize(
    ("number", "value"), [("2e-4", 2e-4), ("1E-3", 1e-3), ("1.e-3", 1e-3), (".5e-3", 5e-4), ("+3e+0", 3.0)]
)
def test_scientific_notation_is_a_number(write, number, value):
    assert load_config(write(f"optimizer: {{learning_rate: {number}}}")).optimizer.learning_rate == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training:\n  epochs: [3\n", "line 3"),
        ("training:\n\tepochs: 3\n", "line 2"),
        ("training:\n  epochs: 3\n  epochs: 4\n", "line 3: not valid YAML: `epochs` is given twice"),
        ("training:\n  ? [a]\n  : 3\n", "line 2"),
        ("data: {dataset: !!python/name:os.system }", "line 1"),
        ("data: {dataset: 2020-13-45}", "not valid YAML"),
        ("data: \x00", "not valid YAML"),
        ("- training\n", "must hold sections with keys, like `training:`. Received: ['training']."),
        ("[]", "must hold sections"),
        ("stripes", "must hold sections"),
        ("training: 5", "`training` must be a section with keys. Received: 5."),
        ("3: 5", "unknown key `3`"),
        ("training: {3: 5}", "unknown key `training.3`"),
        ('"two\\nlines": 5', "unknown key `two lines`"),
    ],
)
def test_malformed_file_is_refused_in_one_line(refusal, write, text, expected):
    assert expected in refusal(write(text))


def test_file_of_a_newer_schema_is_refused_before_its_keys_are_read(refusal, write):
    source = write("schema_version: 2\noptimisers: {generator: sgd}\n")
    assert refusal(source) == (
        f"{source} has the schema version 2, but this version of cyclegan reads configurations up to 1."
        " Update cyclegan."
    )


@pytest.mark.parametrize(("version", "received"), [("0", "0"), ("one", "'one'"), ("1.0", "1.0"), ("", "None")])
def test_schema_version_must_be_a_whole_number(refusal, write, version, received):
    source = write(f"schema_version: {version}")
    assert refusal(source) == f"{source}: `schema_version` must be a whole number from 1 to 1. Received: {received}."


def test_schema_version_is_not_a_key_to_override(refusal):
    assert refusal(overrides=[("schema_version", 1)]).startswith("unknown key `schema_version`")


def test_epochs_clear_the_steps_of_the_file_which_would_be_stronger(write):
    source = write("training: {steps: 20}")
    training = load_config(source, [("training.epochs", 3)]).training
    assert (training.epochs, training.steps) == (3, None)


def test_epochs_leave_steps_that_are_given_with_them(write):
    for overrides in ([("training.epochs", 3), ("training.steps", 7)], [("training.steps", 7), ("training.epochs", 3)]):
        training = load_config(write("training: {steps: 20}"), overrides).training
        assert (training.epochs, training.steps) == (3, 7)


def test_syntax_error_names_the_file(refusal, write):
    source = write("training: {")
    assert refusal(source).startswith(f"{source}, line 1: not valid YAML")


def test_file_that_is_not_text_is_refused(refusal, tmp_path):
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    assert "not valid YAML" in refusal(str(path))


def test_folder_in_place_of_a_file_is_refused(refusal, tmp_path):
    assert refusal(str(tmp_path)).startswith(f"{tmp_path} cannot be read")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optimizer.learning_rate=2e-4", "optimizer.learning_rate", 2e-4),
        ("training.epochs=5", "training.epochs", 5),
        ("training.jit_compile=false", "training.jit_compile", False),
        ("training.steps=null", "training.steps", None),
        ("training.steps=", "training.steps", None),
        ("data.value_range=[0, 4095]", "data.value_range", [0, 4095]),
        ("data.resize=none", "data.resize", "none"),
        ("data.dataset=a=b", "data.dataset", "a=b"),
        (" data.dataset = '12'", "data.dataset", "12"),
    ],
)
def test_override_is_split_and_its_value_read(text, key, value):
    parsed_key, parsed_value = parse_override(text)
    assert (parsed_key, parsed_value) == (key, value)
    assert type(parsed_value) is type(value)


@pytest.mark.parametrize("text", ["training.epochs", "=5", "", "data.dataset=[", "data.dataset=2020-13-45"])
def test_malformed_override_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        parse_override(text)
    assert "must" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [("data.value_range", [-1024, 3071.5]), ("training.steps", 10)],
        [("optimizer.learning_rate", 1e-300), ("optimizer.epsilon", 1e-8), ("losses.cycle_weight_b", 1 / 3)],
        [("data.dataset", "2e-4")],
        [("data.dataset", "null")],
        [("data.dataset", "C:\\Bilder # größer: 'ja'\n")],
        [("data.domain_a", "a  b/" + "long " * 100), ("data.domain_b", "1:30")],
        [("training.jit_compile", True), ("training.steps_per_call", 4)],
    ],
)
def test_dumped_configuration_reads_back_equal(write, overrides):
    config = load_config(None, overrides)
    assert load_config(write(dump_config(config))) == config


def test_dump_keeps_the_order_of_the_models_and_readable_floats():
    text = dump_config(Config())
    assert text.startswith("schema_version: 1\ndata:\n  dataset: stripes\n")
    assert "  learning_rate: 0.0002\n" in text
    assert text.index("data:") < text.index("losses:") < text.index("training:")


def test_presets_are_found():
    assert set(preset_names()) >= {"stripes", "smoke", "horse2zebra", "horse2zebra-cpu"}
    assert preset_names() == tuple(sorted(preset_names()))


@pytest.mark.parametrize("name", preset_names())
def test_preset_loads_and_reads_back_equal(name, write):
    config = load_config(name)
    assert config == load_config(str(preset_path(name)))
    assert config == load_config(write(dump_config(config)))


@pytest.mark.parametrize("name", preset_names())
def test_preset_begins_with_source_result_cost_and_command(name):
    text = preset_path(name).read_text(encoding="utf-8")
    header = [line for line in text.partition("\n\n")[0].splitlines() if line.startswith("#")]
    for part in ("# Source: ", "# Expected: ", "# Cost: ", "# Command: cyclegan train "):
        assert any(line.startswith(part) for line in header), part
    assert any(line.startswith("# Command: ") and line.endswith(f" {name}") for line in header)


@pytest.mark.parametrize("name", preset_names())
def test_preset_below_256_pixels_has_at_most_6_blocks(name):
    config = load_config(name)
    assert config.data.crop_size >= 256 or config.generator.num_blocks <= 6


def test_horse2zebra_is_the_defaults():
    assert set(changed_keys(Config(), load_config("horse2zebra"))) == {"data.dataset"}


def test_preset_can_be_shortened_without_touching_its_decay():
    for name in preset_names():
        assert load_config(name, [("training.epochs", 1)]).training.epochs == 1


def test_preset_is_preferred_to_a_folder_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "stripes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_config("stripes").data.dataset == "stripes"


@pytest.mark.parametrize(("source", "nearest"), [("stripe", "stripes"), ("Smoke.yaml", "smoke")])
def test_unknown_preset_or_missing_file_suggests_the_nearest(refusal, source, nearest):
    message = refusal(source)
    assert f"`{source}` is neither a preset nor a file; did you mean `{nearest}`?" in message
    assert f"the presets are {', '.join(preset_names())}" in message


def test_path_of_an_unknown_preset_is_refused():
    with pytest.raises(UsageError, match="did you mean `stripes`"):
        preset_path("strips")


def test_data_set_with_a_preset_of_its_name_uses_it():
    assert default_preset("stripes") == "stripes"
    assert default_preset("horse2zebra") == "horse2zebra"
    assert default_preset("apple2orange") is None
    assert default_preset("data/stripes") is None


def test_folder_called_like_a_preset_for_something_else_does_not_use_it():
    assert default_preset("smoke") is None


def test_presets_are_beside_the_package_or_one_level_up():
    package = pathlib.Path(config_files.__file__).resolve().parents[1]
    assert preset_path("stripes").parent in (package / "configs", package.parent / "configs")


def test_an_override_of_the_data_set_is_stronger_than_the_domains_of_a_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data:\n  domain_a: horses\n  domain_b: zebras\n")
    data = load_config(str(path), [("data.dataset", "photos")]).data
    assert (data.dataset, data.domain_a, data.domain_b) == ("photos", None, None)


def test_a_data_set_and_a_domain_on_the_command_line_contradict_each_other():
    with pytest.raises(UsageError, match="give either `data.dataset`.*Received: both") as caught:
        load_config(None, [("data.dataset", "photos"), ("data.domain_a", "a"), ("data.domain_b", "b")])
    assert "\n" not in str(caught.value)
