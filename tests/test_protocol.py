"""Two quantizers behind one protocol: each alone or both together, codes as values, refusals."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import mixture

import qama
from qama import Codec, FormatError, Index, container, drift, tasks
from qama.quantizers import protocol
from qama.quantizers.additive.fit import fit_additive
from qama.quantizers.vectors import unit

PACKAGE = Path(qama.__file__).parent
CODECS = ["bytes_codec", "codec", "paper_codec", "byte_codec"]


@pytest.fixture(params=CODECS)
def each(request):
    """Byte codes alone, grid codes alone, both."""
    return request.getfixturevalue(request.param)


def codes_of(codec):
    return [code for quantizer in codec.quantizers for code in quantizer.codes()]


# --- one protocol -----------------------------------------------------------------------------


def test_every_quantizer_and_code_has_what_the_protocol_says(each):
    for quantizer in each.quantizers:
        assert all(hasattr(quantizer, name) for name in vars(protocol.Quantizer) if name[0] != "_")
        assert quantizer.dims_in == 32
        for code in quantizer.codes():
            assert all(hasattr(code, name) for name in vars(protocol.Code) if name[0] != "_")
            assert each.code(**code.request) == code


def test_every_code_keeps_the_promises_of_the_protocol(each, rows, queries):
    for code in codes_of(each):
        codes = code.encode(rows, threads=1)
        stored = code.encode(rows, compact=True)
        assert codes.shape == (300, code.nbytes)
        assert stored.shape == (300, code.stored_bytes)
        np.testing.assert_array_equal(code.stored_form(codes), stored)
        np.testing.assert_array_equal(code.encoded_form(stored), codes)
        for short in code.prefixes():
            np.testing.assert_array_equal(
                short.encode(rows, compact=True)[:, : short.stored_bits // 8],
                stored[:, : short.stored_bits // 8],
            )
            if code.nested:
                tables = code.query_tables(queries)
                whole, part = tables.leading(short.stored_bytes), short.query_tables(queries)
                np.testing.assert_allclose(
                    whole.tables * whole.scales[:, None], part.tables * part.scales[:, None],
                    atol=2 * whole.scales.max(),
                )  # fmt: skip
        for scorer in code.scorers:
            scores = each.score(queries, codes, scorer=scorer, **code.request)
            np.testing.assert_array_equal(code.scores(queries, stored, scorer), scores)
        own = np.diagonal(code.scores(rows[:40], stored[:40], "asymmetric"))
        np.testing.assert_allclose(code.fidelity(rows[:40], stored[:40]), own, rtol=4e-3, atol=1e-3)


def test_every_code_can_be_indexed_saved_and_searched(each, rows, queries, tmp_path):
    for number, code in enumerate(codes_of(each)):
        index = Index(each, **code.request)
        index.add(rows)
        index.save(tmp_path / str(number))
        again = Index.open(tmp_path / str(number), verify=True)
        assert again.code == code
        found = index.search(queries, 5, threads=1)
        np.testing.assert_array_equal(again.search(queries, 5, threads=1).ids, found.ids)
        scores = code.scores(queries, code.encode(rows, compact=True), "asymmetric")
        np.testing.assert_array_equal(found.scores, -np.sort(-scores, axis=1)[:, :5])


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_codes_are_the_same_on_any_number_of_threads(each, rows, threads):
    for code in codes_of(each)[:3]:
        np.testing.assert_array_equal(
            each.encode(rows, threads=threads, **code.request), each.encode(rows, **code.request)
        )


def test_threads_below_none_are_refused(each, rows):
    with pytest.raises(ValueError, match="threads is -1; give a whole number >= 0"):
        each.encode(rows, threads=-1)


def test_nobody_asks_which_quantizer_a_code_is_of():
    families = {"AdditiveCode", "ThermometerCode", "AdditiveQuantizer", "ThermometerQuantizer"}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "type"):
                named = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                assert not named & families, f"{file}:{node.lineno}"


# --- files ------------------------------------------------------------------------------------


def test_a_codec_is_written_in_the_oldest_version_that_says_it(each, rows, tmp_path):
    each.save(tmp_path / "codec")
    contents = container.read(tmp_path / "codec", "codec", 6, 1)
    fitted = each.additive is not None and each.additive.ratios is not None
    assert contents.version == (6 if fitted else 1)
    if fitted:
        before = replace(each, additive=replace(each.additive, ratios=None))
        before.save(tmp_path / "before")
        contents = container.read(tmp_path / "before", "codec", 5, 1)
        assert contents.version == (4 if each.has_nibbles else 1 if each.thermometer else 3)
    for again in (Codec.load(tmp_path / "codec"), pickle.loads(pickle.dumps(each))):
        assert again.fingerprint == each.fingerprint
        assert again.facts == each.facts
        assert codes_of(again) == codes_of(each)
        np.testing.assert_array_equal(again.encode(rows), each.encode(rows))


def test_each_quantizer_of_a_codec_can_be_a_codec_alone(byte_codec, rows, tmp_path):
    for name in ("additive", "thermometer"):
        alone = Codec(**{name: getattr(byte_codec, name)})
        alone.save(tmp_path / name)
        again = Codec.load(tmp_path / name)
        assert again.fingerprint == alone.fingerprint != byte_codec.fingerprint
        for code in codes_of(again):
            assert code == byte_codec.code(**code.request)
            codes = byte_codec.encode(rows, **code.request)
            np.testing.assert_array_equal(again.encode(rows, **code.request), codes)


@pytest.mark.parametrize("dropped", [["bytes.center"], ["bytes.center", "bytes.words"], "all"])
def test_parts_that_are_missing_are_refused(bytes_codec, tmp_path, dropped):
    meta, arrays = bytes_codec.parts()
    kept = {n: a for n, a in arrays.items() if dropped != "all" and n not in dropped}
    container.write(tmp_path / "codec", "codec", 3, meta, kept)
    with pytest.raises(FormatError, match="the codec is inconsistent"):
        Codec.load(tmp_path / "codec")


def test_a_codec_without_a_quantizer_or_of_two_widths_is_refused(bytes_codec, codec):
    with pytest.raises(ValueError, match="an additive quantizer, a thermometer quantizer, or both"):
        Codec()
    narrow = fit_additive(mixture(40, 8), 2, seed=0, threads=1)
    with pytest.raises(ValueError, match="byte codes are of 8 dims, grid codes are of 32 dims"):
        Codec(narrow, codec.thermometer)


# --- codes are values -------------------------------------------------------------------------


def test_codes_are_values(each, tmp_path):
    each.save(tmp_path / "codec")
    again = Codec.load(tmp_path / "codec")
    codes = codes_of(each)
    assert len(set(codes)) == len(codes)
    assert set(codes_of(again)) == set(codes)
    assert codes[0] != codes[0].request
    assert codes[0] != "another"


def test_codes_of_other_quantizers_differ(codec, paper_codec, bytes_codec, byte_codec):
    assert codec.code(level="2") != paper_codec.code(level="2")
    assert bytes_codec.code(nbytes=8) != byte_codec.code(nbytes=8)
    assert codec.code(level="2") == byte_codec.code(level="2")  # the same grid, in two codecs


def test_fingerprints_are_computed_once(monkeypatch, bytes_codec):
    calls = []
    made = protocol.fingerprint
    monkeypatch.setattr(protocol, "fingerprint", lambda *parts: calls.append(parts) or made(*parts))
    fresh = Codec(replace(bytes_codec.additive))
    for _ in range(3):
        assert repr(fresh)
        assert repr(fresh.code(nbytes=8))
        assert fresh.code(nbytes=8) in {fresh.code(nbytes=8)}
    assert len(calls) == 2  # the codec's, and its quantizer's


def test_every_repr_is_one_short_line(each, rows):
    index = Index(each)
    index.add(rows)
    codes = tasks.CodeSet.encode(each, rows)
    shown = [
        each, *each.quantizers, *codes_of(each), index, codes, index.search(rows[:2]),
        qama.search_many([index], rows[:2]), index.filter(np.arange(9)),
        tasks.kmeans(codes, 2), tasks.join(rows[:9], codes, 0.5), drift.measure(each, rows),
        tasks.classify(index, np.zeros(300, int), rows[:3]), tasks.Bridge.fit(rows, rows),
    ]  # fmt: skip
    for value in shown:
        if value is not None:
            assert "\n" not in repr(value)
            assert len(repr(value)) < 160
    assert repr(each.code()).endswith(f"of {each.quantizers[0].fingerprint}>")
    assert repr(shown[-1]).startswith("Bridge(weights=float32 (32, 32), mean_here=float32 (32,)")


# --- what a codec lacks -----------------------------------------------------------------------


@pytest.mark.parametrize("request_", [{"level": "2"}, {"dims": 16}, {"dims": 16, "level": 1}])
def test_grid_codes_of_byte_codes_are_refused_with_what_would_give_them(bytes_codec, request_):
    with pytest.raises(
        ValueError,
        match=r"has byte codes only: give nbytes from 1 to 16, or fit with codes=\"all\"",
    ):
        bytes_codec.code(**request_)


def test_byte_codes_of_a_grid_are_refused_with_what_would_give_them(codec):
    with pytest.raises(
        ValueError,
        match=r"nbytes is 9, .* grid codes only: give dims .*, or fit with codes=\"all\"",
    ):
        codec.code(nbytes=9)


def test_adapted_floats_of_byte_codes_are_refused(bytes_codec, rows):
    with pytest.raises(ValueError, match="this codec has byte codes only"):
        bytes_codec.transform(rows)


# --- fits -------------------------------------------------------------------------------------


def test_byte_codes_alone_are_those_of_a_fit_of_both(bytes_codec, rows):
    both = qama.fit(rows, codes="all", max_bytes=16, steps=2, epochs=0, threads=1, device="cpu")
    assert bytes_codec.thermometer is None
    assert both.code(nbytes=16) == bytes_codec.code(nbytes=16)
    older = qama.fit(rows, bytes=True, max_bytes=16, steps=2, epochs=0, threads=1, device="cpu")
    assert older.fingerprint == both.fingerprint


def test_the_facts_of_byte_codes_say_what_was_read(bytes_codec):
    assert bytes_codec.facts["config"] == {
        "codes": "bytes", "max_bytes": 16, "codeword_bits": None, "held_out": 0.05,
        "max_rows": None,
    }  # fmt: skip
    assert bytes_codec.facts[drift.FACT]["rows"] == 15
    assert (bytes_codec.facts["rows"], bytes_codec.facts["seed"]) == (300, 0)


def test_byte_codes_start_from_a_base(bytes_codec, queries):
    fitted = qama.fit(queries, base=bytes_codec, threads=1)
    assert fitted.facts["base"] == bytes_codec.fingerprint
    assert fitted.byte_budgets == bytes_codec.byte_budgets
    with pytest.raises(ValueError, match='this base has none; give codes="bytes"'):
        qama.fit(queries, base=bytes_codec, codes="grid")


@pytest.mark.parametrize("d", [5, 9, 15, 16, 100])
def test_vectors_of_any_width_have_byte_codes(d):
    X, Q = unit(mixture(200, d)), mixture(7, d, seed=1)
    codec = qama.fit(X, max_bytes=8, threads=1)
    code = codec.code()
    decoded = codec.decode(codec.encode(X))
    assert decoded.shape == (200, d)
    assert np.square(unit(X) - decoded).sum(axis=1).mean() < 0.3
    index = Index(codec)
    index.add(X)
    found = index.search(Q, 3, threads=1)
    fitted, lengths = codec.additive, np.linalg.norm(decoded, axis=1)
    wanted = unit(Q) @ unit(decoded).T * (lengths / fitted.lengths[-1]) ** (1 - fitted.norm_power)
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(wanted, found.ids, axis=1), atol=0.006
    )
    assert qama.fit(unit(mixture(60, d)), base=codec, threads=1).code().nbytes == code.nbytes


GRID_ONLY = {
    "dims": [8], "levels": ["1"], "fractions": (1, 0, 0, 0), "queries": mixture(4, 32),
    "pairs": (mixture(4, 32), mixture(4, 32)), "device": "cpu", "checkpoint": "x", "steps": 3,
    "learning_rate": 0.1, "architecture": "linear",
}  # fmt: skip


@pytest.mark.parametrize("name", GRID_ONLY)
def test_options_of_a_grid_that_is_not_fitted_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"^{name} is an option of grid codes, .*codes=\"all\""):
        qama.fit("no such file.npy", **{name: GRID_ONLY[name]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": "both"}, "codes is 'both'; choose one of 'bytes', 'grid', 'all'"),
        ({"codes": "grid", "max_bytes": 8}, "max_bytes is an option of byte codes"),
        ({"preset": "paper", "codes": "bytes"}, "preset 'paper' is a recipe of grid codes"),
        ({"codes": "all", "codings": 3}, "option is 'codings'; choose one of"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        qama.fit("no such file.npy", **options)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np, qama
X = np.load(sys.argv[1])
codec = qama.fit(X, max_bytes=16, threads=1)
codec.save(sys.argv[2])
index = qama.Index(qama.Codec.load(sys.argv[2]))
index.add(X)
print(codec.fingerprint, (index.search(X, 1).ids[:, 0] == np.arange(len(X))).mean() > 0.9)
for asked in ({"codes": "grid"}, {"codes": "all"}, {"preset": "paper"}):
    try:
        qama.fit("no such file.npy", **asked)
    except qama.MissingExtraError as error:
        print(error)
"""


def test_a_process_that_cannot_import_torch_fits_byte_codes(bytes_codec, rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "rows.npy"), str(tmp_path / "codec")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    missing = 'fitting grid codes needs PyTorch: pip install "qama[train]"'
    assert done.stdout.splitlines() == [f"{bytes_codec.fingerprint} True", *[missing] * 3]


def test_a_signalling_nan_is_refused_as_any_other(bytes_codec):
    X = mixture(4, 32).astype(np.float64)
    X.view(np.uint64)[2, 5] = 0x7FF0000000000001
    with pytest.raises(ValueError, match=r"X\[2, 5\] is nan"):
        bytes_codec.encode(X)
