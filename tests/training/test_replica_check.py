import pytest
import tensorflow as tf

from cyclegan.config.files import load_config
from cyclegan.errors import CycleganError
from cyclegan.runtime.cluster import Cluster
from cyclegan.training.hooks import Call
from cyclegan.training.length import run_length
from cyclegan.training.replica_check import ReplicaCheck
from cyclegan.training.state import build_state

CONFIG = load_config("smoke", [("training.ema_decay", 0.9)])
STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
CALL = Call(7, {}, 0.0, False)


class WithOthers(Cluster):
    """A process whose digest is gathered together with those of others."""

    def __init__(self, others):
        super().__init__(STRATEGY)
        self.others = others
        self.own = b""

    def gather(self, data):
        self.own = data
        return [data, *self.others]


@pytest.fixture(scope="module")
def state():
    return build_state(CONFIG, STRATEGY, run_length(CONFIG.training, 10, 1))


def test_equal_replicas_pass(state):
    cluster = WithOthers([])
    check = ReplicaCheck(state, cluster)
    check.at_checkpoint(CALL)
    cluster.others = [cluster.own]
    check.at_end(CALL)


def test_the_replica_that_differs_from_most_is_named(state):
    cluster = WithOthers([])
    check = ReplicaCheck(state, cluster)
    check.at_checkpoint(CALL)
    other = bytes(reversed(cluster.own))
    cluster.others = [other, cluster.own]
    with pytest.raises(CycleganError, match="After step 7 the weights of replica 1 are not those of the others"):
        check.at_checkpoint(CALL)
    cluster.others = [other, other]
    with pytest.raises(CycleganError, match="the weights of replica 0 are not"):
        check.at_checkpoint(CALL)


@pytest.mark.parametrize("kind", ["generator_moments", "averages", "discriminator_variables"])
def test_each_kind_of_variable_counts(state, kind):
    cluster = WithOthers([])
    check = ReplicaCheck(state, cluster)
    check.at_checkpoint(CALL)
    before = cluster.own
    variable = {
        "generator_moments": state.generator_moments[3][1],
        "averages": state.averages[1].trainable_variables[2],
        "discriminator_variables": state.discriminator_variables[-1],
    }[kind]
    variable.assign(variable + 1e-3)
    check.at_checkpoint(CALL)
    assert cluster.own != before
