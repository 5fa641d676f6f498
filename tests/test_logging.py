"""What is logged under `qama`, and the bar of a fit."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import tqdm

import qama
from qama.recipe import Report


def test_nothing_is_written_unless_it_is_asked_for(tmp_path):
    program = "import logging, qama; logging.getLogger('qama.fitting').error('x')"
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout == said.stderr == ""


def test_a_fit_is_logged(rows, caplog):
    with caplog.at_level(logging.INFO, "qama"):
        codec = qama.fit(rows, max_bytes=8, threads=1)
    (record,) = caplog.records
    assert record.name == "qama.fitting"
    assert f"fitted codec {codec.fingerprint} (bytes) on 300 of 300 rows" in record.getMessage()


def test_a_recovery_is_logged(codec, rows, tmp_path, caplog):
    path = tmp_path / "index"
    index = qama.Index(codec)
    index.save(path)
    with qama.Index.open(path, "a") as opened:
        opened.add(rows)
    log = path.with_name("index.qama-log")
    log.write_bytes(log.read_bytes() + b"half")
    with qama.Index.open(path, "a") as opened, pytest.warns(qama.RecoveryWarning):
        opened.add(rows)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("qama.search.storage.store", "WARNING")
    assert "the last 4 bytes were an unfinished write" in record.getMessage()


def test_a_damaged_index_of_documents_is_logged(rows, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("qama.documents.documents._BEHIND_AT_CLOSE", 1)
    codec = qama.fit(rows, max_bytes=8, threads=1)
    folder = tmp_path / "docs"
    with qama.Documents.create(folder, codec) as documents:
        documents.add([str(i) for i in range(300)], rows)
    (file,) = folder.glob("index-*.qama")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with qama.Documents.open(folder) as documents:
        assert documents.search(rows[7], 1).ids == ["7"]
    assert any("made anew" in record.getMessage() for record in caplog.records)


# --- the bar of a fit ---------------------------------------------------------------------------


class Recorder:
    """What a bar was told, in the place of tqdm."""

    made: ClassVar[list] = []

    def __init__(self, **options):
        self.options, self.n, self.postfix, self.closed = options, 0, None, False
        Recorder.made.append(self)

    def update(self, more):
        self.n += more

    def set_postfix(self, told, refresh):
        assert not refresh
        self.postfix = told

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    made = []
    monkeypatch.setattr(Recorder, "made", made)
    return made


def test_a_bar_of_a_fit(rows, bars):
    with qama.Bar(Recorder, leave=False) as bar:
        qama.fit(rows, max_bytes=8, threads=1, callbacks=[bar])
    (made,) = bars
    assert made.options == {"total": made.n, "desc": "byte codes", "leave": False}
    assert made.closed
    assert made.postfix["distortion"] > 0


def test_a_bar_for_each_kind_of_codes(bars):
    with qama.Bar(Recorder) as bar:
        bar(Report(1, 9, {"loss": 0.5}, None))
        bar(Report(6, 9, {"loss": 0.25}, 0.75))
        bar(Report(1, 3, {"distortion": 0.5}, 0.75, "bytes"))
        assert [made.closed for made in bars] == [True, False]
    assert [made.options for made in bars] == [
        {"total": 9, "desc": "grid codes"}, {"total": 3, "desc": "byte codes"},
    ]  # fmt: skip
    assert [made.n for made in bars] == [6, 1]
    assert bars[0].postfix == {"loss": 0.25, "agreement": 0.75}
    assert bars[1].closed


def test_a_bar_is_closed_by_an_error(bars):
    bar = qama.Bar(Recorder)
    bar(Report(1, 9, {"loss": 0.5}, None))
    with pytest.raises(KeyError), bar:
        raise KeyError
    assert bars[0].closed
    bar.close()  # twice does no harm


def test_tqdm_itself(rows, capsys):
    with qama.Bar(tqdm.tqdm) as bar:
        qama.fit(rows, max_bytes=8, threads=1, callbacks=[bar])
    err = capsys.readouterr().err
    assert "byte codes: 100%" in err
    assert "distortion=" in err
    assert np.isfinite(float(err.rsplit("distortion=", 1)[1].split("]")[0]))
