import json

import pytest

from cyclegan.errors import UsageError
from cyclegan.runtime.workers import Workers, find_workers

PAIR = "host1:2222,host2:2222"


def tf_config(kind: str, index: object, **cluster: list[str]) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("request_", "index", "environment", "expected"),
    [
        (None, None, {}, None),
        (PAIR, 1, {}, Workers(("host1:2222", "host2:2222"), 1)),
        ("[::1]:5000,localhost:5001", 0, {}, Workers(("[::1]:5000", "localhost:5001"), 0)),
        ("host1:2222", 0, {}, None),
        (None, None, tf_config("worker", 1, worker=["a:1", "b:2"]), Workers(("a:1", "b:2"), 1)),
        (None, None, tf_config("chief", 0, chief=["c:1"], worker=["a:1", "b:2"]), Workers(("c:1", "a:1", "b:2"), 0)),
        (None, None, tf_config("worker", "1", chief=["c:1"], worker=["a:1", "b:2"]), Workers(("c:1", "a:1", "b:2"), 2)),
        (None, None, tf_config("worker", 0, worker=["a:1"]), None),
        (None, None, {"TF_CONFIG": ""}, None),
        (None, None, {"TF_CONFIG": "{}"}, None),
        (PAIR, 0, tf_config("worker", 1, worker=["a:1", "b:2"]), Workers(("host1:2222", "host2:2222"), 0)),
        ("slurm", None, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, Workers(None, 3)),
        ("slurm", None, {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None),
    ],
)
def test_processes_are_read_from_the_options_or_from_the_environment(request_, index, environment, expected):
    assert find_workers(request_, index, environment) == expected


@pytest.mark.parametrize(
    ("request_", "index", "environment", "message"),
    [
        (None, 0, {}, "`--worker-index` needs --workers"),
        (PAIR, None, {}, "must be a number from 0 to 1, another one for each of the 2 processes. Received: None"),
        (PAIR, 2, {}, "must be a number from 0 to 1"),
        ("host1,host2:1", 0, {}, "such as host1:2222,host2:2222. Received: 'host1'"),
        ("host1:99999,host2:1", 0, {}, "Received: 'host1:99999'"),
        ("a:1,a:1", 0, {}, "must list each address once"),
        ("slurm", None, {}, "inside of a job step that srun has started"),
        (None, None, {"TF_CONFIG": "{"}, "TF_CONFIG must look like"),
        (None, None, {"TF_CONFIG": "[]"}, "TF_CONFIG must look like"),
        (None, None, tf_config("ps", 0, worker=["a:1", "b:2"]), "takes no part in the training"),
        (None, None, tf_config("worker", 2, worker=["a:1", "b:2"]), "takes no part in the training"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(request_, index, environment, message):
    with pytest.raises(UsageError) as error:
        find_workers(request_, index, environment)
    assert message in str(error.value)
