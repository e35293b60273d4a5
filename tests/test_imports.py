"""The layers of the package, and which module may import which. The import statements are read, not run."""

import ast
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

import cyclegan

CHECKOUT = pathlib.Path(__file__).parents[1]

# From the top. A module belongs to the longest name here that it starts with. It may import from the layers below,
# and from its own package in its own layer. The bare package is at the bottom: it holds the version, and loads the
# public API when it is asked.
LAYERS = [
    ["cyclegan.__main__"],
    ["cyclegan.cli"],
    ["cyclegan.app"],
    [
        "cyclegan.training.session",
        "cyclegan.translation",
        "cyclegan.export",
        "cyclegan.evaluation.evaluate",
        "cyclegan.bundles.packing",
        "cyclegan.comparison",
    ],
    ["cyclegan.interop"],
    ["cyclegan.training"],
    ["cyclegan.bundles", "cyclegan.evaluation"],
    ["cyclegan.bundles.info"],
    ["cyclegan.networks", "cyclegan.data", "cyclegan.losses"],
    ["cyclegan.config", "cyclegan.runtime"],
    ["cyclegan.errors"],
    ["cyclegan"],
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}

# These modules are used before a command knows whether it needs TensorFlow, or by commands that do not need it.
LIGHT = [
    "cyclegan.__main__",
    "cyclegan.cli",
    "cyclegan.config",
    "cyclegan.errors",
    "cyclegan.data.check",
    "cyclegan.data.decoding",
    "cyclegan.data.listing",
    "cyclegan.data.sources",
    "cyclegan.data.stripes",
    "cyclegan.training.claim",
    "cyclegan.training.record",
    "cyclegan.training.run_directory",
    "cyclegan.training.session",
    "cyclegan.translation.contact_sheet",
    "cyclegan.translation.gallery",
]
HEAVY = {"keras", "tensorboard", "tensorflow", "tensorflow_datasets"}


def _module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module_name(path): path for path in sorted((CHECKOUT / "cyclegan").rglob("*.py"))}


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _home(module: str) -> str:
    """The longest name in LAYERS that a module belongs to. Only `cyclegan` itself belongs to the bare package."""
    homes = [name for name in DEPTH if name != "cyclegan" and _is_in(module, name)]
    return max(homes, key=len, default="cyclegan")


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, f"line {node.lineno}: a relative import"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if submodule in MODULES else node.module


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below `node` that run when the module is imported: not functions, and not TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not is_for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _run_on_import(child)


@functools.cache
def _imports(module: str, on_import_only: bool) -> frozenset[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    nodes = _run_on_import(tree) if on_import_only else ast.walk(tree)
    return frozenset(name for node in nodes for name in _imported(node))


def _loaded_with(module: str) -> set[str]:
    """All modules that `import module` imports directly or through other modules of this package."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting += _imports(name, on_import_only=True)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return seen


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_layer(module: str) -> None:
    assert module == "cyclegan" or _home(module) != "cyclegan", f"name {module} in LAYERS"


@pytest.mark.parametrize("name", DEPTH)
def test_layers_name_modules_that_exist(name: str) -> None:
    assert name in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    for name in _imports(module, on_import_only=False):
        if _is_in(name, "cyclegan"):
            here, there = DEPTH[_home(module)], DEPTH[_home(name)]
            assert here < there or (here == there and _package(module) == _package(name)), (
                f"{module} must not import {name}"
            )


@pytest.mark.parametrize("module", [module for module in MODULES if any(_is_in(module, name) for name in LIGHT)])
def test_light_module_does_not_import_tensorflow(module: str) -> None:
    heavy = {name for name in _loaded_with(module) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{module} leads to {', '.join(sorted(heavy))}"


def test_package_does_not_import_tensorflow() -> None:
    program = "import sys, cyclegan; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, timeout=60).returncode == 0


def test_package_offers_its_public_api() -> None:
    assert set(cyclegan.__all__) <= set(dir(cyclegan))
    assert all(callable(getattr(cyclegan, name)) for name in cyclegan.__all__ if name != "__version__")


def test_package_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = cyclegan.trian
