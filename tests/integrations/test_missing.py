"""What is said where a framework is not installed."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from qama import MissingExtraError


@pytest.mark.parametrize(("extra", "package", "module"), [
    ("langchain", "langchain-core", "langchain_core"),
    ("haystack", "haystack-ai", "haystack"),
    ("llamaindex", "llama-index-core", "llama_index"),
])  # fmt: skip
def test_the_command_is_named(monkeypatch, extra, package, module):
    for name in [*sys.modules]:
        if name.split(".")[0] == module or name.startswith(f"qama.integrations.{extra}"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"qama.integrations.{extra}")
    said = f'qama.integrations.{extra} needs {package}: pip install "qama[{extra}]"'
    assert str(caught.value) == said


def test_qama_imports_no_framework():
    code = """
import sys, qama, qama.documents, qama.integrations, qama.integrations.mteb
print({"langchain_core", "haystack", "llama_index", "mteb"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
