import hashlib
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from cyclegan.errors import CycleganError, UsageError
from cyclegan.evaluation import inception
from cyclegan.evaluation.distances import frechet_distance, kernel_inception_distance
from cyclegan.evaluation.extractors import load_extractor
from cyclegan.evaluation.features import Extractor, Features

RNG = np.random.default_rng(0)
FILE = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def fidelity():
    """Skips a test without torch-fidelity, which is never imported here: beside TensorFlow it can crash."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("needs torch-fidelity: pip install 'cyclegan[fid]'")


WEIGHTS_OF_CHANCE = """
import sys, torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network
torch.manual_seed(0)
load = Network.load_state_dict
Network.load_state_dict = lambda self, state: None
torch.save({}, sys.argv[1])
network = Network("any", ["2048"], feature_extractor_weights_path=sys.argv[1])
torch.save(network.state_dict(), sys.argv[1])
import numpy as np
(features,) = network(torch.from_numpy(np.load(sys.argv[2]).transpose(0, 3, 1, 2).copy()))
np.save(sys.argv[3], features.numpy())
"""
"""Writes random weights, and the features that the network computes with them."""


@pytest.fixture
def weights(fidelity, tmp_path, monkeypatch):
    """Random weights in the place of those of 2015, images, and their features."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path, images, features = (tmp_path / name for name in ("hub/checkpoints/" + FILE, "images.npy", "features.npy"))
    path.parent.mkdir(parents=True)
    np.save(images, RNG.integers(0, 256, (3, 40, 40, 3), np.uint8))
    arguments = [sys.executable, "-c", WEIGHTS_OF_CHANCE, *map(str, (path, images, features))]
    subprocess.run(arguments, check=True, timeout=200)
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path, np.load(images), np.load(features)


def test_the_features_are_those_of_the_network_for_8_bit_images(weights):
    _, images, features = weights
    found = load_extractor("inception", 64).compute(np.float32(images / 127.5 - 1))
    assert found.values.shape == (3, 2048) and found.classes is None
    np.testing.assert_allclose(found.values, features, rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_those_of_2015_are_refused_before_they_are_loaded(tmp_path):
    (tmp_path / FILE).write_bytes(b"something else")
    with pytest.raises(CycleganError, match=r"does not hold the weights of 2015: its SHA-256 is"):
        inception.verify(tmp_path / FILE)


def test_without_a_network_the_place_of_the_weights_is_named(tmp_path):
    path = tmp_path / "hub" / FILE
    with pytest.raises(CycleganError, match=rf"cannot be downloaded.*put the file http://127.0.0.1:9/x at {path}"):
        inception.fetch("http://127.0.0.1:9/x", path)
    assert list(path.parent.iterdir()) == []


def test_weights_are_downloaded_once(tmp_path):
    (tmp_path / "served").write_bytes(b"weights")
    path = tmp_path / "hub" / FILE
    inception.fetch((tmp_path / "served").as_uri(), path)
    assert path.read_bytes() == b"weights"
    (tmp_path / "served").unlink()
    inception.fetch((tmp_path / "served").as_uri(), path)


def test_without_the_extra_it_is_named(monkeypatch, tmp_path):
    """A package of this name that cannot be imported comes first in the other process."""
    (tmp_path / "torch_fidelity.py").write_text("raise ImportError('No module named torch_fidelity')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # a process that is spawned gets this path
    with pytest.raises(UsageError, match="`--features inception` needs the extra `fid`"):
        load_extractor("inception", 64)


def test_only_this_network_makes_a_fid():
    features = Features(np.zeros((1, 1), np.float32), None)
    of_2015, another = (Extractor(name, "", lambda images: features) for name in ("inception", "InceptionV3"))
    assert [of_2015.title("KID"), of_2015.title("Frechet")] == ["KID", "FID"]
    assert another.title("Frechet") == "Frechet-InceptionV3"


REFERENCE = """
import sys, numpy as np, torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
x, y = (np.load(path) for path in sys.argv[1:])
statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (x, y)]
print(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])
x, y = (torch.from_numpy(np.float32(each)) for each in (x, y))
found = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=len(x), verbose=False)
print(found["kernel_inception_distance_mean"])
"""


def test_the_distances_are_those_of_torch_fidelity(fidelity, tmp_path):
    """The kernel distance of whole sets, because the subsets of both are drawn differently."""
    x, y = RNG.normal(0, 1, (250, 32)), RNG.normal(0.3, 1.2, (250, 32)) @ RNG.normal(0, 0.3, (32, 32))
    paths = tmp_path / "x.npy", tmp_path / "y.npy"
    for path, features in zip(paths, (x, y), strict=True):
        np.save(path, features)
    arguments = [sys.executable, "-c", REFERENCE, *map(str, paths)]
    frechet, kernel = map(float, subprocess.check_output(arguments, text=True, timeout=200).split())
    assert frechet_distance(x, y) == pytest.approx(frechet, rel=1e-9)
    found, _ = kernel_inception_distance(x, y, subset_size=250, num_subsets=1)
    assert found == pytest.approx(kernel, rel=1e-5)
