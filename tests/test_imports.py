"""What importing costs, and the one-way rule of docs/architecture.md."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import qama

PACKAGE = Path(qama.__file__).parent
HEAVY = (
    "torch", "scipy", "pandas", "polars", "matplotlib", "typer", "rich", "pyarrow", "sklearn",
    "faiss", "usearch", "duckdb", "apsw", "safetensors", "langchain_core", "haystack",
    "llama_index", "mteb", "sentence_transformers", "datasets", "huggingface_hub", "openai",
    "cohere", "voyageai", "fastapi", "uvicorn", "prometheus_client", "mcp", "pydantic", "ray",
    "pyspark", "fsspec",
)  # fmt: skip

# From the top of the picture down: a layer may import itself and the layers above it. The command
# line and the demo share the console: what is said, and how.
LAYERS = (
    "errors", "arrays", "shown", "checks", "forked", "locks", "files", "blas", "kernels", "mapping",
    "quantizers", "kmeans", "container", "codec", "codefile", "drift", "heldout", "vectorfiles",
    "sources", "distinct", "norms", "embedders", "search.rows", "search.scan", "search.storage",
    "search", "documents", "engines", "server", "tasks", "evaluation", "recipe", "training",
    "fitting", "bases", "progress", "sklearn", "machine", "integrations", "pace", "distributed",
    "console", "examples", "cli",
)  # fmt: skip
ONLY = {  # what a layer keeps away from, though it lies above
    "arrays": set(),
    "checks": {"arrays"},
    "locks": set(),
    "files": {"checks", "errors", "locks"},
    "mapping": {"checks", "files", "kernels"},
    "kmeans": {"checks", "quantizers"},
    "container": {"checks", "errors", "files", "mapping"},
    "vectorfiles": {"arrays", "checks", "errors"},
    "sources": {"arrays", "checks", "errors", "vectorfiles"},
    "kernels": {"checks", "errors"},
    "blas": {"errors"},
    "search.scan": {"checks", "errors", "kernels", "quantizers", "codec", "shown", "search.rows"},
    "distinct": {"checks", "errors", "sources"},
    "norms": {"checks", "errors"},
    "embedders": {"checks", "errors", "sources"},
    "quantizers": {"checks", "errors", "blas", "kernels"},
    "recipe": {"checks", "errors", "quantizers"},
    "training": {"checks", "errors", "blas", "kernels", "quantizers", "recipe"},
    "documents": {
        "arrays",
        "checks",
        "errors",
        "files",
        "quantizers",
        "codec",
        "drift",
        "embedders",
        "search.rows",
        "search.scan",
        "search.storage",
        "search",
        "shown",
    },
    "server": {
        "embedders",
        "checks",
        "errors",
        "kernels",
        "quantizers",
        "codec",
        "drift",
        "search",
        "documents",
    },
    "tasks": {
        "checks",
        "errors",
        "shown",
        "kernels",
        "kmeans",
        "quantizers",
        "codec",
        "search.rows",
        "search.scan",
        "search",
    },
    "integrations": {
        "recipe",
        "training",
        "checks",
        "errors",
        "files",
        "quantizers",
        "codec",
        "search",
        "documents",
        "evaluation",
        "fitting",
    },
    "engines": {
        "checks",
        "errors",
        "files",
        "quantizers",
        "codec",
        "search.rows",
        "search.scan",
    },
    "progress": {"recipe"},
    "sklearn": {"checks", "errors", "codec", "fitting"},
    "pace": set(),
    "distributed": {
        "arrays",
        "checks",
        "errors",
        "files",
        "codec",
        "sources",
        "engines",
        "fitting",
        "pace",
        "search",
        "search.scan",
        "shown",
    },
    "console": {"checks", "pace", "progress", "recipe", "shown"},
    "machine": {
        "blas",
        "checks",
        "container",
        "kernels",
        "quantizers",
        "codec",
        "search.storage",
        "search",
        "documents",
        "evaluation",
        "fitting",
    },
}
MAY_IMPORT_TORCH = {"training", "examples"}
CLUSTERS = {"ray", "pyspark", "fsspec"}  # named by the layer of that name alone
FILES = sorted(
    file for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE or file.stem[0] != "_"
)


def module_of(file):
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def layer_of(module):
    """The layer of a module within qama; the deepest name that fits."""
    fitting = [name for name in LAYERS if module == name or module.startswith(name + ".")]
    return max(fitting, key=len) if fitting else None


def imported(tree):
    """Every module that a file imports anywhere, with names as `from` may mean modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level(tree):
    """The statements that run when a module is imported: not functions, not TYPE_CHECKING."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def test_there_are_files_in_every_layer():
    assert {layer_of(module_of(file)) for file in FILES} == set(LAYERS)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_only_point_up(file):
    layer = layer_of(module_of(file))
    above = LAYERS[: LAYERS.index(layer) + 1]
    allowed = ONLY[layer] | {layer} if layer in ONLY else set(above)
    for name in imported(ast.parse(file.read_text())):
        package, _, module = name.partition(".")
        if package != "qama":
            continue
        target = layer_of(module)
        # the package itself is public: what it offers lies above the demo and the command line
        if target is None:
            assert layer in ("examples", "cli"), f"{layer} imports {name}"
        else:
            assert target in allowed, f"{layer} imports {name}"


MODULES = {
    module_of(file): file for suffix in ("py", "pyi") for file in PACKAGE.rglob(f"*.{suffix}")
}


def imported_modules(module):
    """The modules of qama that a module imports anywhere: the deepest that each name fits."""
    found = set()
    for name in imported(ast.parse(MODULES[module].read_text())):
        parts = name.split(".")
        if parts[0] == "qama":
            prefixes = (".".join(parts[1:end]) for end in range(len(parts), 0, -1))
            found.add(next(prefix for prefix in prefixes if prefix in MODULES))
    return found


def circle_through(module, graph):
    """A shortest way along imports from a module back to itself, or None."""
    ways = {target: [module, target] for target in graph[module]}
    queue = list(ways)
    for at in queue:
        if at == module:
            return ways[at]
        for target in graph[at] - set(ways):
            ways[target] = [*ways[at], target]
            queue.append(target)
    return None


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}
    assert circle_through("a", graph) == ["a", "b", "c", "a"]
    assert circle_through("d", graph) is None


def test_no_module_imports_itself_through_others():
    graph = {module: imported_modules(module) for module in MODULES if module}
    graph[""] = set()  # what the package offers is imported where it is asked for, see above
    circles = [circle_through(module, graph) for module in sorted(graph)]
    assert [circle for circle in circles if circle] == []


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_only_training_and_the_examples_import_torch(file):
    tree = ast.parse(file.read_text())
    at_import = ast.Module(list(top_level(tree)), [])
    if any(name.partition(".")[0] == "torch" for name in imported(at_import)):
        assert layer_of(module_of(file)) in MAY_IMPORT_TORCH


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_only_distributed_names_ray_and_spark(file):
    named = {
        node.value.partition(".")[0] if isinstance(node, ast.Constant) else ""
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        for node in call.args
        if not isinstance(node, ast.Constant) or isinstance(node.value, str)
    }
    names = {name.partition(".")[0] for name in imported(ast.parse(file.read_text()))}
    if CLUSTERS & (named | names):
        assert layer_of(module_of(file)) == "distributed"


USE = {
    "import": "import qama",
    "use": """
import sys
import numpy as np, qama
codec = qama.Codec.load(sys.argv[1])
X = np.eye(8, dtype=np.float32)
codec.encode(X, dims=8, level="2")
index = qama.Index(codec, dims=8, level="2")
index.add(X)
assert index.search(X, 1, scorer="hamming").ids.ravel().tolist() == list(range(8))
index.search(X, 3)
""",
}


@pytest.mark.parametrize("program", USE.values(), ids=USE)
def test_using_a_codec_imports_nothing_heavy(program):
    program += f"\nimport sys\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    codec = Path(__file__).parent / "golden" / "codec.qama"
    done = subprocess.run(
        [sys.executable, "-c", program, str(codec)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_there_is_not_is_refused_by_name():
    assert qama.fit.__module__ == "qama.fitting"
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = qama.fitt


def test_tasks_and_engines_are_imported_when_they_are_asked_for():
    program = f"""
import sys, qama
assert not {{"qama.tasks", "qama.engines", "qama.distributed"}} & set(sys.modules)
assert set(qama.__all__) <= set(dir(qama))
assert qama.tasks.CodeSet and qama.tasks is sys.modules["qama.tasks"]
assert qama.engines.write and qama.engines is sys.modules["qama.engines"]
assert qama.distributed.encode and qama.distributed.spark.encode
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert "tasks" in qama.__all__


def test_everything_public_is_there():
    for name in qama.__all__:
        assert getattr(qama, name).__doc__


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_a_fit_does_not_spin_for_long_unless_the_user_says_so(given, spins):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = """
import os, sys, qama.training
assert "torch" not in sys.modules  # it reads the variable when it is imported
print(os.environ.get("GOMP_SPINCOUNT"))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={**environment, **given},
    ).stdout  # fmt: skip
    assert said.strip() == str(spins)
