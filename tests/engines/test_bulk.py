"""Files for servers that no test here can run: their shape, as the servers' documents have it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oracle import CODE, some_ids

from qama import engines

ROWS = 5


@pytest.fixture(params=["elasticsearch", "opensearch", "vespa"])
def engine(request):
    return request.param


@pytest.fixture
def written(engine, tmp_path, codec, rows):
    """Codes, ids, the lines of the file, and the text of what lies beside."""
    codes, ids = codec.encode(rows[:ROWS], **CODE), some_ids(ROWS)
    path = tmp_path / "docs.jsonl"
    engines.write(f"{engine}:{path}#docs", codes, ids, codec, **CODE)
    (beside,) = (other for other in tmp_path.iterdir() if other != path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return codes, ids, lines, beside.read_text()


def code_of(value):
    """The bytes of a code, as the server will read them."""
    if isinstance(value, str):
        return list(bytes.fromhex(value))
    return np.array(value, dtype=np.int8).view(np.uint8).tolist()


def test_every_row_is_there_under_its_id(engine, written):
    codes, ids, lines, _ = written
    if engine == "vespa":
        keys = [line["put"].removeprefix("id:docs:docs::") for line in lines]
        documents = [line["fields"] for line in lines]
        values = [document["code"]["values"] for document in documents]
    else:
        assert {line["index"]["_index"] for line in lines[::2]} == {"docs"}
        keys = [line["index"]["_id"] for line in lines[::2]]
        documents = lines[1::2]
        values = [document["code"] for document in documents]
    assert keys == [str(key) for key in ids]
    assert [document["id"] for document in documents] == ids.tolist()
    assert [code_of(value) for value in values] == codes.tolist()


def test_what_lies_beside_describes_bits_and_names_the_codec(engine, written, codec):
    *_, text = written
    if engine == "vespa":
        first, _, schema = text.partition("\n")
        label = first.removeprefix("# qama ")
        assert "field code type tensor<int8>(x[12])" in schema
        assert "distance-metric: hamming" in schema
        assert schema.count("{") == schema.count("}")
    else:
        mapping = json.loads(text)["mappings"]
        label = mapping["_meta"]["qama"]
        field = mapping["properties"]["code"]
        wanted = {
            "elasticsearch": {"type": "dense_vector", "element_type": "bit", "dims": 96},
            "opensearch": {"type": "knn_vector", "data_type": "binary", "dimension": 96},
        }[engine]
        assert wanted.items() <= field.items()
    assert json.loads(label)["codec"] == codec.fingerprint


def test_byte_codes_are_refused(engine, tmp_path, byte_codec, rows):
    codes = byte_codec.encode(rows, nbytes=8)
    with pytest.raises(ValueError, match="ranks by Hamming distance"):
        engines.write(f"{engine}:{tmp_path}/a#docs", codes, range(300), byte_codec, nbytes=8)
