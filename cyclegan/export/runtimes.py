"""Runs an exported generator by its own runtime, in a process that has nothing of this package: a script.

    python -P runtimes.py FORMAT PATH [MODULE]

FORMAT is keras, savedmodel, litert or onnx. MODULE is imported first, for layers that the file does not hold. Standard
input brings pickled pairs (signature, input); standard output gets a pickled pair for the start, ("ok", (name, version)
of the runtime), and one for each input, ("ok", (output, seconds)). What fails is ("error", one line).
"""

import importlib
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any

Run = Callable[[str, Any], Any]
"""From (signature, input) to output; only a SavedModel has more than one signature."""


def _keras(path: str) -> tuple[str, str, Run]:
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(path, compile=False)
    translate = tf.function(lambda images: model(images, training=False))
    return "keras", keras.__version__, lambda _, images: translate(images).numpy()


def _saved_model(path: str) -> tuple[str, str, Run]:
    import tensorflow as tf

    model = tf.saved_model.load(path)

    def run(signature: str, inputs: Any) -> Any:
        (output,) = model.signatures[signature](tf.constant(inputs)).values()
        return output.numpy()

    return "tensorflow", tf.__version__, run


def _litert(path: str) -> tuple[str, str, Run]:
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=os.cpu_count())
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape: tuple[int, ...] | None = None

    def run(_: str, images: Any) -> Any:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(inputs["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(inputs["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])

    return "ai-edge-litert", ai_edge_litert.__version__, run


def _onnx(path: str) -> tuple[str, str, Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop would slow down the other side of the comparison.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (inputs,) = session.get_inputs()
    return "onnxruntime", onnxruntime.__version__, lambda _, images: session.run(None, {inputs.name: images})[0]


LOADERS: dict[str, Callable[[str], tuple[str, str, Run]]] = {
    "keras": _keras,
    "savedmodel": _saved_model,
    "litert": _litert,
    "onnx": _onnx,
}


def main() -> None:
    """Answers until standard input ends."""
    requests = sys.stdin.buffer
    # Libraries print: what they write to standard output must not be between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(make: Callable[[], tuple]) -> None:
        reply: tuple[str, Any]
        try:
            reply = ("ok", make())
        except Exception as error:  # a runtime raises whatever it likes
            reply = ("error", " ".join(str(error).split()) or type(error).__name__)
        pickle.dump(reply, answers)
        answers.flush()

    run: Run

    def load() -> tuple[str, str]:
        nonlocal run
        if sys.argv[3:]:
            importlib.import_module(sys.argv[3])
        name, version, run = LOADERS[sys.argv[1]](sys.argv[2])
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


if __name__ == "__main__":
    main()
