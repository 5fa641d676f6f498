"""Codecs to the Hugging Face Hub and back, by its own client, over a hub of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import qama

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

TOKEN = "hf_secret"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import sys, numpy as np, qama
from qama.integrations import hub
codec = qama.Codec.load(sys.argv[1])
print(hub.push_to_hub(codec, "me/codec", vectors=np.load(sys.argv[2]), private=True))
again = hub.from_pretrained("me/codec", model="some/model")
print(again.fingerprint)
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a small repository needs."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.path == "/api/repos/create":
            self.server.made.append(json.loads(body))
            self._say({"url": f"{self.server.url}/me/codec", "name": "me/codec", "id": "me/codec"})
        elif self.path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif self.path == "/api/models/me/codec/preupload/main":
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._say({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False}
                                 for path in paths]})  # fmt: skip
        elif self.path.startswith("/api/models/me/codec/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.held[line["value"]["path"]] = content
            self._say({"success": True, "commitOid": COMMIT, "commitUrl": self._commit()})
        else:
            self._say({"error": "unknown"}, 404)

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/api/models/me/codec"):
            self._say({"id": "me/codec", "sha": COMMIT, "siblings": []})
        elif name in self.server.held:
            self._send(self.server.held[name], 200)
        else:
            self._say({"error": "unknown"}, 404)

    do_HEAD = do_GET  # noqa: N815 - the same

    def _commit(self):
        return f"{self.server.url}/me/codec/commit/{COMMIT}"

    def _say(self, value, status=200):
        self._send(json.dumps(value).encode(), status)

    def _send(self, content, status):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *given):
        """Say nothing."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as served:
        served.asked, served.made, served.held = [], [], {}
        served.url = f"http://127.0.0.1:{served.server_port}"
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def test_a_codec_goes_to_the_hub_and_comes_back(server, tmp_path):
    X = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    codec = qama.fit(X, threads=1, model="some/model")
    codec.save(tmp_path / "codec.qama")
    np.save(tmp_path / "x.npy", X)
    settings = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN,
                "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "codec.qama", tmp_path / "x.npy"],
        capture_output=True, text=True, env=os.environ | settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{server.url}/me/codec/commit/{COMMIT}", codec.fingerprint]
    assert server.made[0]["name"] == "codec"
    assert sorted(server.held) == ["README.md", "codec.qama"]
    assert server.held["codec.qama"] == (tmp_path / "codec.qama").read_bytes()
    assert b"| vectors of | some/model |" in server.held["README.md"]
    assert b"Estimated on" in server.held["README.md"]
    assert {authorization for _, authorization in server.asked} <= {f"Bearer {TOKEN}", None}
    assert TOKEN not in done.stdout + done.stderr
