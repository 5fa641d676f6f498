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
    ("sentence-transformers", "sentence-transformers", "sentence_transformers"),
])  # fmt: skip
def test_the_command_is_named(monkeypatch, extra, package, module):
    ours = f"qama.integrations.{extra.replace('-', '_')}"
    for name in [*sys.modules]:
        if name.split(".")[0] == module or name.startswith(ours):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(ours)
    said = f'{ours} needs {package}: pip install "qama[{extra}]"'
    assert str(caught.value) == said


def test_qama_imports_no_framework():
    code = """
import sys, qama, qama.documents, qama.integrations, qama.integrations.mteb
import qama.integrations.hub, qama.integrations.safetensors
print({"langchain_core", "haystack", "llama_index", "mteb", "sentence_transformers", "openai",
       "cohere", "voyageai", "datasets", "huggingface_hub", "safetensors"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
