"""Files of PyTorch become bundles and files again. The recipe behind the golden values loads these files."""

import hashlib
import importlib.util
import json
import pathlib
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import cyclegan
from cyclegan.bundles.bundle import load_bundle, save_bundle
from cyclegan.bundles.info import bundle_info
from cyclegan.cli.main import main
from cyclegan.config.files import load_config
from cyclegan.config.networks import GeneratorConfig
from cyclegan.errors import UsageError
from cyclegan.interop.reference_names import describe_generator
from cyclegan.interop.reference_weights import reference_arrays, set_reference_weights
from cyclegan.networks.generators import build_generator

CHECKOUT = pathlib.Path(__file__).parents[2]
GOLDEN = CHECKOUT / "tests" / "golden"
GENERATORS = ["resnet_9blocks_ngf1", "resnet_6blocks_ngf1", "resnet_6blocks_ngf1_batch", "unet_32_ngf1"]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="needs PyTorch: pip install 'cyclegan[pytorch]'")


@pytest.fixture(scope="module")
def rewrite(torch):
    """`scripts/pytorch_recipe.py` as a module."""
    spec = importlib.util.spec_from_file_location("pytorch_recipe", CHECKOUT / "scripts" / "pytorch_recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def weights(name):
    with np.load(GOLDEN / f"{name}.weights.npz") as arrays:
        return dict(arrays)


def save(torch, path, arrays, **options):
    torch.save({name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}, path, **options)
    return path


@pytest.mark.parametrize("name", GENERATORS)
def test_there_and_back_is_bit_for_bit_and_the_reference_loads_it(name, torch, rewrite, run, tmp_path):
    source, bundle, back = save(torch, tmp_path / "G.pth", weights(name)), tmp_path / "bundle", tmp_path / "back.pth"
    imported = run("import-pytorch", "--ab", source, "--output", bundle)
    assert imported.exit_code == 0, imported.output
    exported = run("export", "--model", bundle, "--direction", "ab", "--format", "pytorch", "--output", back)
    assert exported.exit_code == 0, exported.output

    first, second = (torch.load(path, weights_only=True) for path in (source, back))
    assert list(first) == list(second)
    for key in first:
        # PyTorch counts batches, and nothing depends on the count.
        assert key.endswith("num_batches_tracked") or torch.equal(first[key], second[key]), key
    arrays = {key: value.numpy() for key, value in second.items()}
    with np.load(GOLDEN / f"{name}.npz") as golden:
        x, y = golden["x"], golden["y"]
    np.testing.assert_allclose(rewrite.run(rewrite.build(arrays), x), y, atol=1e-6)
    np.testing.assert_allclose(cyclegan.load_generator(bundle)(x), y, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet_9blocks_ngf1", [], "256 pixels in training (assumed, because the file does not say it; `--crop-size`"),
        ("resnet_6blocks_ngf1", [], "128 pixels in training (assumed, because the file does not say it; `--crop-size`"),
        ("resnet_6blocks_ngf1", ["--crop-size", 64], "64 pixels in training\n"),
    ],
)
def test_an_import_says_the_size_of_the_crops_and_whether_it_was_assumed(name, options, expected, torch, run, tmp_path):
    source = save(torch, tmp_path / "G.pth", weights(name))
    result = run("import-pytorch", "--ab", source, "--output", tmp_path / "bundle", *options)
    assert (result.exit_code, expected in result.stdout) == (0, True), result.output
    assert load_bundle(tmp_path / "bundle").info.crop_size == int(expected.split()[0])


def test_a_published_file_of_long_ago_is_read(torch, run, tmp_path):
    """It has names of parallel training, running statistics of instance norm, and the format before zip."""
    arrays = {f"module.{name}": value for name, value in weights("resnet_9blocks_ngf1").items()}
    for place in (2, 5, 8):
        size = 1 if place == 2 else 2 ** (place // 3)
        arrays |= {f"module.model.{place}.running_{kind}": np.ones(size, "float32") for kind in ("mean", "var")}
    source = save(torch, tmp_path / "old.pth", arrays, _use_new_zipfile_serialization=False)
    result = run("import-pytorch", "--ab", source, "--output", tmp_path / "bundle")
    assert result.exit_code == 0, result.output
    assert "resnet, 9 blocks, 1 filter, instance norm, 3 channels in, 3 out" in result.stdout


def test_two_directions_with_different_channels_make_one_bundle(torch, rewrite, run, tmp_path):
    ab, ba = tmp_path / "ab.pth", tmp_path / "ba.pth"
    torch.save(rewrite.Resnet((1, 3), 2, 1, "instance").state_dict(), ab)
    torch.save(rewrite.Resnet((3, 1), 2, 1, "instance").state_dict(), ba)
    result = run("import-pytorch", "--ab", ab, "--ba", ba, "--output", tmp_path / "bundle", "--crop-size", 64)
    assert result.exit_code == 0, result.output
    info = load_bundle(tmp_path / "bundle").info
    assert (info.channels_a, info.channels_b, info.crop_size, info.generator.num_blocks) == (1, 3, 64, 1)
    assert {key: entry.file for key, entry in info.provenance.imported_from.items()} == {"ab": "ab.pth", "ba": "ba.pth"}
    assert not info.provenance.config
    assert cyclegan.load_generator(tmp_path / "bundle", "ba")(np.zeros((1, 8, 8, 3), "float32")).shape[-1] == 1


def test_two_directions_must_have_each_others_channels(torch, rewrite, run, tmp_path):
    torch.save(rewrite.Resnet((1, 3), 2, 1, "instance").state_dict(), tmp_path / "ab.pth")
    result = run(
        "import-pytorch", "--ab", tmp_path / "ab.pth", "--ba", tmp_path / "ab.pth", "--output", tmp_path / "bundle"
    )
    assert result.exit_code == 2 and "must have the same architecture" in result.stderr
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_a_run_starts_from_an_imported_bundle_or_is_told_what_to_set(torch, run, tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLEGAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CYCLEGAN_XLA_CACHE", "off")
    source = save(torch, tmp_path / "G.pth", weights("resnet_9blocks_ngf1"))
    run("import-pytorch", "--ab", source, "--output", tmp_path / "bundle")
    train = [
        "train",
        "--config",
        "smoke",
        "--steps",
        1,
        "--init-from",
        tmp_path / "bundle",
        "--run-dir",
        tmp_path / "r",
    ]
    refused = run(*train)
    assert refused.exit_code == 2
    assert "--set generator.filters=1 --set generator.num_blocks=9. Received: generator.filters=4" in refused.stderr
    accepted = run(*train, "--set", "generator.filters=1", "--set", "generator.num_blocks=9")
    assert accepted.exit_code == 0, accepted.output
    assert "Generators (ab) start from" in accepted.stdout


@pytest.fixture(scope="module")
def bad_files(torch, tmp_path_factory):
    """A folder of files that cannot be imported. Code in one of them would make another file."""
    folder = tmp_path_factory.mktemp("bad")

    class Code:
        def __reduce__(self):
            return (pathlib.Path.touch, (folder / "was_run",))

    good = weights("resnet_9blocks_ngf1")
    whole = save(torch, folder / "whole.pth", good).read_bytes()
    (folder / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("weights")
    (folder / "code.pth").write_bytes(pickle.dumps(Code(), protocol=2))
    torch.save({"model.1.weight": Code()}, folder / "code_inside.pth")
    vgg = {f"model.{place}.weight": np.zeros((4, 4, 3, 3), "float32") for place in range(0, 26, 2)}
    save(torch, folder / "vgg.pth", vgg)
    save(torch, folder / "flat.pth", {"model.model.0.weight": np.zeros(3, "float32")})
    torch.save([1, 2], folder / "list.pth")
    torch.save({"epoch": 3, "net": {}}, folder / "checkpoint.pth")
    with np.load(GOLDEN / "patchgan_ndf4_n3.weights.npz") as arrays:
        save(torch, folder / "discriminator.pth", dict(arrays))
    name, kernel = next(iter(good.items()))
    tensors = {key: torch.from_numpy(value) for key, value in good.items()}
    unusable = {
        "nan": torch.from_numpy(np.full_like(kernel, np.nan)),
        "sparse": tensors[name].to_sparse(),
        "complex": tensors[name].to(torch.complex64),
        "whole": tensors[name].to(torch.int32),
        "none": tensors[name][:0],
        "expanded": torch.zeros(1).expand(tensors[name].shape),
        "tiny": tensors[name].to(torch.float8_e4m3fn),
        "huge": torch.full_like(tensors[name], 1e300, dtype=torch.float64),
    }
    for kind, tensor in unusable.items():
        torch.save({**tensors, name: tensor}, folder / f"{kind}.pth")
    place = whole.index(kernel.tobytes())
    (folder / "flipped.pth").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    directory = whole.index(b"PK\1\2")
    (folder / "directory.pth").write_bytes(whole[:directory] + b"?" + whole[directory + 1 :])
    odd = {**good, "model.7.weight": np.zeros((3, 3, 3, 3), "float32"), "attention.weight": np.zeros(1, "float32")}
    del odd["model.4.bias"], odd["model.1.bias"]
    save(torch, folder / "odd.pth", odd)
    return folder


UNUSABLE = ("nan", "sparse", "complex", "whole", "none", "expanded", "tiny", "huge")

BAD = [
    ("missing.pth", "cannot be read: No such file or directory"),
    ("truncated.pth", "is damaged, or is not a PyTorch file"),
    ("empty.pth", "is damaged, or is not a PyTorch file"),
    ("text.pth", "is refused: it is not a PyTorch file"),
    ("code.pth", "which could run code"),
    ("code_inside.pth", "which could run code"),
    ("vgg.pth", "it has neither residual blocks nor the levels of a unet, but `model.0.weight`; `model.2.weight`"),
    ("flat.pth", "must be a unet with 2 to 16 levels. Received: 0"),
    ("list.pth", "must hold a state_dict. Received: list"),
    ("checkpoint.pth", "These are not tensors: `epoch`; `net`"),
    ("discriminator.pth", "it is a discriminator (patch)"),
    *(
        (f"{kind}.pth", "finite floating-point numbers with 16, 32 or 64 bits. These are not: `model.1.weight`")
        for kind in UNUSABLE
    ),
    ("flipped.pth", "does not match its checksum"),
    ("directory.pth", "is damaged, or is not a PyTorch file"),
    (
        "odd.pth",
        "cannot be mapped: `attention.weight` has no place; `model.1.bias` is missing; `model.4.bias` is missing;"
        " `model.7.weight` must have shape (4, 2, 3, 3). Received: (3, 3, 3, 3).",
    ),
]


@pytest.mark.parametrize("name,message", BAD)
def test_bad_files_are_one_line_run_nothing_and_write_nothing(name, message, bad_files, run, tmp_path):
    result = run("import-pytorch", "--ab", bad_files / name, "--output", tmp_path / "bundle")
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and message in result.stderr
    assert not (tmp_path / "bundle").exists() and not (bad_files / "was_run").exists()


def test_parameters_are_weights_like_others(torch, run, tmp_path):
    good = weights("resnet_6blocks_ngf1")
    parameters = {key: torch.nn.Parameter(torch.from_numpy(value)) for key, value in good.items()}
    torch.save(parameters, tmp_path / "net.pth")
    assert run("import-pytorch", "--ab", tmp_path / "net.pth", "--output", tmp_path / "bundle").exit_code == 0


def test_an_import_that_cannot_be_written_is_not_in_the_way_of_the_next(torch, run, tmp_path):
    save(torch, tmp_path / "net.pth", weights("resnet_6blocks_ngf1"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        result = run("import-pytorch", "--ab", tmp_path / "net.pth", "--output", tmp_path / "bundle")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1 and "cannot be written: File too large" in result.stderr
    assert not (tmp_path / "bundle").exists()
    assert run("import-pytorch", "--ab", tmp_path / "net.pth", "--output", tmp_path / "bundle").exit_code == 0


@pytest.mark.parametrize("is_new", [True, False])
def test_an_interrupted_import_is_not_in_the_way_of_the_next(is_new, torch, run, tmp_path, monkeypatch):
    """The interrupt comes after the weights, before `bundle.json` gets its name."""
    save(torch, tmp_path / "net.pth", weights("resnet_6blocks_ngf1"))
    if not is_new:
        (tmp_path / "bundle").mkdir()
    replace = pathlib.Path.replace

    def interrupt(self, target):
        if target.name == "bundle.json":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", interrupt)
        assert run("import-pytorch", "--ab", tmp_path / "net.pth", "--output", tmp_path / "bundle").exit_code == 130
    assert (tmp_path / "bundle").exists() != is_new
    assert run("import-pytorch", "--ab", tmp_path / "net.pth", "--output", tmp_path / "bundle").exit_code == 0


def test_nothing_is_overwritten(torch, run, tmp_path):
    source = save(torch, tmp_path / "G.pth", weights("resnet_9blocks_ngf1"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").touch()
    refused = run("import-pytorch", "--ab", source, "--output", full)
    assert refused.exit_code == 2 and "must be a new or empty folder" in refused.stderr
    run("import-pytorch", "--ab", source, "--output", tmp_path / "bundle")
    before = source.read_bytes()
    refused = run("export", "--model", tmp_path / "bundle", "--direction", "ab", "--format", "pytorch",
                  "--output", source)  # fmt: skip
    assert refused.exit_code == 2 and source.read_bytes() == before


def test_what_the_reference_cannot_do_is_named_key_by_key(run, tmp_path):
    changes = {"upsampling": "nearest", "activation": "gelu", "normalization": "layer"}
    config = load_config("smoke", [(f"generator.{key}", value) for key, value in changes.items()])
    save_bundle(tmp_path / "b", {"ab": build_generator(config.generator)}, bundle_info(config, 1))
    result = run("export", "--model", tmp_path / "b", "--direction", "ab", "--format", "pytorch",
                 "--output", tmp_path / "G.pth")  # fmt: skip
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    for key, value in changes.items():
        assert f"`generator.{key}` must be" in result.stderr and f"Received: {value}" in result.stderr


def test_without_norm_the_reference_has_no_bias_but_the_last():
    config = GeneratorConfig(filters=2, num_blocks=1, normalization="none")
    model = build_generator(config)
    arrays = reference_arrays(model, config, "x")
    assert [name for name in arrays if name.endswith("bias")] == ["model.18.bias"]
    assert describe_generator(arrays, "x").config == config
    set_reference_weights(model, arrays, config, "x")
    model.get_layer("down_1_conv").bias.assign(np.ones(4))
    with pytest.raises(UsageError, match=r"no place for `down_1_conv/bias`\."):
        reference_arrays(model, config, "x")


def test_without_pytorch_the_extra_is_named(tmp_path):
    """The command runs in a process where PyTorch cannot be imported."""
    (tmp_path / "G.pth").touch()
    program = "import sys; sys.modules['torch'] = None; from cyclegan.cli.main import main; main()"
    arguments = ["import-pytorch", "--ab", str(tmp_path / "G.pth"), "--output", str(tmp_path / "bundle")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install 'cyclegan[pytorch]'" in done.stderr and "Traceback" not in done.stderr


def test_bundles_say_where_they_were_imported_from(torch, run, tmp_path):
    source = save(torch, tmp_path / "G.pth", weights("unet_32_ngf1"))
    run("import-pytorch", "--ab", source, "--output", tmp_path / "bundle")
    content = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert content["provenance"]["imported_from"] == {"ab": {"file": "G.pth", "sha256": digest}}
    assert (content["size_multiple"], content["min_size"], content["crop_size"]) == (32, 32, 32)
