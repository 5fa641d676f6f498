"""What is said where the packages of an extra are not installed."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from qama import MissingExtraError


@pytest.mark.parametrize(("absent", "module", "said"), [
    ("fastapi", "qama.server", "qama serve needs fastapi, prometheus-client and uvicorn"),
    ("uvicorn", "qama.server", "qama serve needs fastapi, prometheus-client and uvicorn"),
    ("prometheus_client", "qama.server", "qama serve needs fastapi, prometheus-client and"),
    ("mcp", "qama.integrations.mcp", "qama.integrations.mcp needs mcp"),
])  # fmt: skip
def test_the_command_is_named(monkeypatch, absent, module, said):
    for name in [*sys.modules]:
        if name.split(".")[0] == absent or name.startswith(module):
            monkeypatch.delitem(sys.modules, name)
    for name in ("fastapi", "uvicorn", "prometheus_client", "mcp"):
        if name == absent:
            monkeypatch.setitem(sys.modules, name, None)
        elif name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, type(sys)(name))
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(module)
    assert str(caught.value).startswith(said)
    extra = "serve" if module == "qama.server" else "mcp"
    assert str(caught.value).endswith(f': pip install "qama[{extra}]"')


def test_the_command_line_says_it_too(tmp_path):
    code = """
import sys
sys.modules["fastapi"] = sys.modules["mcp"] = None
from qama.cli.main import app
app()
"""
    for command, extra in (("serve", "serve"), ("mcp", "mcp")):
        done = subprocess.run(
            [sys.executable, "-c", code, command, str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert f'pip install "qama[{extra}]"' in done.stderr


def test_qama_imports_no_framework():
    code = """
import sys, qama, qama.documents, qama.cli.main
print({"fastapi", "uvicorn", "prometheus_client", "mcp", "pydantic"} & {*sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
