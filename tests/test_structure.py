"""How long modules, functions and names of tests may be, read from the sources."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

CHECKOUT = pathlib.Path(__file__).parents[1]
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_TEST_NAME = 80

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _sources(*folders: str) -> list[str]:
    """All Python files below these folders, relative to the checkout."""
    paths = [path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    return [str(path.relative_to(CHECKOUT)) for path in paths]


def _functions(file: str) -> Iterator[Function]:
    tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _num_lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _num_code_lines(function: Function) -> int:
    """Lines of a function from `def` on, with those of functions inside it, without its own docstring."""
    docstring = ast.get_docstring(function)
    return _num_lines(function) - (_num_lines(function.body[0]) if docstring is not None else 0)


@pytest.mark.parametrize("file", _sources("cyclegan", "scripts", "benchmarks"))
def test_module_is_not_too_long(file: str) -> None:
    num_lines = len((CHECKOUT / file).read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_MODULE_LINES, f"{file} has {num_lines} lines"


@pytest.mark.parametrize("file", _sources("cyclegan", "scripts", "benchmarks"))
def test_functions_are_not_too_long(file: str) -> None:
    long = {f.name: n for f in _functions(file) if (n := _num_code_lines(f)) > MAX_FUNCTION_LINES}
    assert not long, f"{file} has functions that are too long, in lines without their docstrings: {long}"


@pytest.mark.parametrize("file", [file for file in _sources("tests") if "/test_" in file])
def test_names_of_tests_are_not_too_long(file: str) -> None:
    long = [f.name for f in _functions(file) if f.name.startswith("test_") and len(f.name) > MAX_TEST_NAME]
    assert not long, f"{file} has names of more than {MAX_TEST_NAME} characters: {', '.join(long)}"
