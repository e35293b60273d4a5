"""A script that runs an export with the export's own runtime, in a process that does not import this package.

    python -P runtime_process.py FORMAT_MODULE PATH [LAYERS_MODULE]

FORMAT_MODULE is the file of the module whose function `load` loads the export at PATH. LAYERS_MODULE is imported before
that, for layers that the export only names.

The script reads pickled pairs (signature, input) from standard input. It writes pickled pairs to standard output: first
("ok", (name, version)) of the runtime, then ("ok", (output, seconds)) for each input. If something fails, the pair is
("error", one line).
"""

import importlib.util
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Answers until standard input ends."""
    requests = sys.stdin.buffer
    # Libraries print. Their output goes to standard error, so that it does not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(make: Callable[[], tuple[Any, Any]]) -> None:
        reply: tuple[str, Any]
        try:
            reply = ("ok", make())
        except Exception as error:  # runtimes raise any kind of exception
            reply = ("error", " ".join(str(error).split()) or type(error).__name__)
        pickle.dump(reply, answers)
        answers.flush()

    run: Callable[[str, Any], Any]

    def load() -> tuple[str, str]:
        nonlocal run
        format_module, path, *layers_modules = sys.argv[1:]
        for module in layers_modules:
            importlib.import_module(module)
        name, version, run = _function_load(format_module)(path)
        return name, version

    def timed() -> tuple[Any, float]:
        start = time.perf_counter()
        output = run(signature, inputs)
        return output, time.perf_counter() - start

    answer(load)
    while True:
        try:
            signature, inputs = pickle.load(requests)
        except EOFError:
            return
        answer(timed)


def _function_load(path: str) -> Callable[[str], tuple[str, str, Callable[[str, Any], Any]]]:
    """The function `load` of the module in a file."""
    spec = importlib.util.spec_from_file_location("format_module", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[str], tuple[str, str, Callable[[str, Any], Any]]] = module.load
    return function


if __name__ == "__main__":
    main()
