"""The allocator is set up in a process of its own, because nothing sets it back."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

# 30 times, 40 blocks of 2 MiB are taken together and given back.
PROGRAM = """
import resource, sys
import numpy as np
from cyclegan.runtime.allocator import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        blocks = [np.ones(2**18) for _ in range(40)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults(), keep_freed_memory(), page_faults())
"""


def run(**environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=clean | environment, check=True, capture_output=True, text=True
    ).stdout
    before, was_set, after = output.split()
    return int(before), was_set == "True", int(after)


def test_memory_that_was_freed_is_taken_again_without_page_faults():
    before, was_set, after = run()
    assert was_set
    assert before > 10 * after


def test_the_settings_of_the_user_stay():
    _, was_set, _ = run(MALLOC_ARENA_MAX="2")
    assert not was_set
