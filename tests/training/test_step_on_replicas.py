"""A step on two replicas, of which one is ill. It runs in a process of its own, because TensorFlow must not be used yet
where the logical devices are made.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

PARTS = ["a gradient", "a statistic", "a metric", "a fake", "nothing"]


@pytest.fixture(scope="module")
def outcomes():
    """For each part that is not a number on replica 1 alone: is the step finite, and which variables have changed."""
    output = subprocess.run([sys.executable, __file__], check=True, capture_output=True, timeout=300).stdout
    return json.loads(output.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS[:-1])
def test_a_number_that_is_not_finite_on_one_replica_changes_nothing_on_any(outcomes, part):
    assert outcomes[part] == {"is_finite": False, "changed": ["step", "samples", "skipped", "bad_streak"]}


@pytest.mark.slow
def test_an_overflow_of_float16_on_one_replica_lowers_its_scale_on_both(outcomes):
    changed = ["step", "samples", "skipped", "loss_scale/scales"]
    *overflown, bad = outcomes["float16"]
    assert overflown == [{"is_finite": False, "changed": changed}] * 2
    assert bad == {"is_finite": False, "changed": ["step", "samples", "skipped", "bad_streak"]}
    first, second, third = ([2.0**14, 2.0**15, scale] for scale in (2.0**24, 2.0**23, 2.0**23))
    assert outcomes["scales"] == [[first] * 2, [second] * 2, [third] * 2]


@pytest.mark.slow
def test_a_single_bit_that_differs_between_two_replicas_is_found(outcomes):
    before, after = outcomes["check"]
    assert before == "equal"
    assert after.startswith("After step 7 the weights of replica")


@pytest.mark.slow
def test_a_step_that_is_finite_on_both_replicas_changes_both(outcomes):
    assert outcomes["nothing"]["is_finite"]
    assert {"step", "pool_a/images/0", "pool_a/images/1"} <= set(outcomes["nothing"]["changed"])


def main() -> None:
    import tensorflow as tf

    from cyclegan.config.files import load_config
    from cyclegan.runtime.devices import choose_devices
    from cyclegan.training.length import run_length
    from cyclegan.training.loss_scaling import count_overflow
    from cyclegan.training.state import State, build_state, snapshot
    from cyclegan.training.step import build_gradients, build_step
    from cyclegan.training.update import build_update

    config = load_config("smoke", [("discriminator.spectral_norm", True)])
    strategy = choose_devices("cpu:2")[0]
    size = config.data.crop_size
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)), tf.float32)
    batches = tf.data.Dataset.from_tensors((images, images)).repeat()

    def outcome(part: str, state: State) -> dict[str, object]:
        healthy = build_gradients(state, config, strategy, jit_compile=False)

        def gradients(real_a, real_b):
            own = healthy(real_a, real_b)
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            ill = tf.where(tf.equal(replica, 1), np.nan, 0.0)
            if part == "a gradient":
                generators = [own.generators[0] + ill, *own.generators[1:]]
                overflows = [count_overflow(generators), *own.overflows[1:]] if own.overflows else []
                return own._replace(generators=generators, overflows=overflows)
            if part == "a penalty":
                flags = [*own.overflows[:2], count_overflow([ill])]
                return own._replace(
                    discriminators=[own.discriminators[0] + ill, *own.discriminators[1:]], overflows=flags
                )
            if part == "a statistic":
                return own._replace(statistics=[own.statistics[0] + ill, *own.statistics[1:]])
            if part == "a metric":
                first, *others = own.metrics.items()
                return own._replace(metrics={first[0]: first[1] + ill, **dict(others)})
            if part == "a fake":
                return own._replace(pool_a=own.pool_a._replace(fakes=own.pool_a.fakes + ill))
            return own

        step = tf.function(build_step(state, strategy, gradients, build_update(state, config, False)))
        before = snapshot(state.named(strategy))
        iterator = iter(strategy.experimental_distribute_dataset(batches))
        is_finite = step(*next(iterator)).is_taken
        after = snapshot(state.named(strategy))
        changed = [name for name, value in after.items() if not np.array_equal(value, before[name], equal_nan=True)]
        return {"is_finite": bool(is_finite), "changed": changed}

    state, in_float16 = (
        build_state(config.model_copy(update={"training": training}), strategy, run_length(training, 10, 1))
        for training in (config.training, config.training.model_copy(update={"precision": "mixed_float16"}))
    )
    outcomes = {part: outcome(part, state) for part in PARTS}
    local = strategy.experimental_local_results(in_float16.loss_scale.scales)
    outcomes["float16"], outcomes["scales"] = [], []
    for part in ("a gradient", "a penalty", "a metric"):
        outcomes["float16"].append(outcome(part, in_float16))
        outcomes["scales"].append([scales.numpy().tolist() for scales in local])
    outcomes["check"] = differences(state, strategy)
    print(json.dumps(outcomes))


def differences(state, strategy) -> list[str]:
    """What the check of the replicas says before and after one bit of a weight on replica 1 has changed."""
    from cyclegan.errors import CycleganError
    from cyclegan.runtime.cluster import Cluster
    from cyclegan.training.hooks import Call
    from cyclegan.training.replica_check import ReplicaCheck

    def said() -> str:
        try:
            check.at_checkpoint(Call(7, {}, 0.0, False))
        except CycleganError as error:
            return str(error)
        return "equal"

    check = ReplicaCheck(state, Cluster(strategy))
    before = said()
    weight = strategy.experimental_local_results(state.generator_variables[3].value)[1]
    bits = weight.numpy().copy()
    bits.reshape(-1).view(np.int32)[0] ^= 1
    weight.assign(bits)
    return [before, said()]


if __name__ == "__main__":
    main()
