"""Every command on tiny files: what it writes, what it prints, how it refuses."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import mixture
from typer.testing import CliRunner

import qama
from qama import Codec, Index
from qama.cli.main import app
from qama.quantizers.thermometer import levels

COMMANDS = (
    "fit",
    "base",
    "encode",
    "index",
    "search",
    "export",
    "eval",
    "inspect",
    "verify",
    "serve",
    "mcp",
    "repair",
    "backup",
    "restore",
    "replicate",
    "shard",
    "report",
    "plan",
    "bench",
    "doctor",
    "demo",
)


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    """The result of a command that succeeds."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments):
    """The one sentence of a command that refuses."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert result.stderr.rstrip().endswith(lines[0])
    return lines[0].removeprefix("error: ")


@pytest.fixture
def folder(tmp_path, paper_codec, rows, queries):
    """A folder with vectors, queries, a codec and an index."""
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "queries.npy", queries[:3])
    paper_codec.save(tmp_path / "codec")
    index = Index(paper_codec, dims=16, level="2")
    index.add(rows, ids=np.arange(1000, 1300))
    index.save(tmp_path / "index")
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    text = done(command, "--help").stdout
    assert "Usage" in text
    assert len(text.splitlines()) > 5


def test_the_help_lists_all_commands():
    text = done("--help").stdout
    assert all(command in text for command in COMMANDS)
    registered = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert sorted(registered) == sorted(COMMANDS)


def test_version():
    assert done("--version").stdout == qama.__version__ + "\n"


def test_python_dash_m_and_an_error_at_a_real_terminal(tmp_path):
    run = [sys.executable, "-m", "qama", "inspect", str(tmp_path / "nothing")]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "No such file" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


# --- fit --------------------------------------------------------------------------------------


def test_fit_writes_a_codec_and_says_what_it_did(folder):
    result = done(
        "fit", folder / "rows.npy", "-o", folder / "new", "--preset", "paper", "--steps", 2,
        "--dims", "16, 8", "--levels", "1, 2", "--threads", 1, "--device", "cpu", "--seed", 3,
    )  # fmt: skip
    codec = Codec.load(folder / "new")
    assert codec.preset == "paper"
    assert codec.dims == (32, 16, 8)
    assert codec.levels == ("1", "2")
    assert codec.facts["steps"] == 2
    assert codec.facts["seed"] == 3
    assert result.stdout == ""
    assert f"codec {codec.fingerprint}, fitted on 300 of 300 rows" in result.stderr


def test_fit_as_json(folder):
    result = done("fit", folder / "rows.npy", "-o", folder / "new", "--preset", "paper",
                  "--steps", 2, "--threads", 1, "--json")  # fmt: skip
    facts = json.loads(result.stdout)
    assert facts["codec"] == str(folder / "new")
    assert facts["fingerprint"] == Codec.load(folder / "new").fingerprint
    assert facts["rows"] == 300


def test_a_fit_of_byte_codes_alone_as_json(folder):
    result = done("fit", folder / "rows.npy", "-o", folder / "new", "--max-bytes", 4, "--json")
    codec = Codec.load(folder / "new")
    assert json.loads(result.stdout)["fingerprint"] == codec.fingerprint
    assert codec.byte_budgets == (4,)
    assert codec.dims == codec.levels == ()
    said = done("inspect", folder / "new")
    assert "transform  None" in said.stdout
    said = done("fit", folder / "rows.npy", "-o", folder / "new", "--max-bytes", 4)
    assert "fitted on 300 of 300 rows" in said.stderr
    assert "agreement" not in said.stderr


def test_fit_takes_queries_and_pairs(folder):
    rows = folder / "rows.npy"
    facts = done("fit", rows, "-o", folder / "new", "--codes", "grid", "--steps", 2,
                 "--threads", 1, "--json", "--queries", rows, "--pairs", rows, rows)  # fmt: skip
    assert json.loads(facts.stdout)["queries"] == json.loads(facts.stdout)["pairs"] == 300


def test_fit_starts_from_a_base(folder):
    base = folder / "base"
    options = ("--threads", 1, "--max-bytes", 4, "--json")
    first = json.loads(done("fit", folder / "rows.npy", "-o", base, *options).stdout)
    facts = done("fit", folder / "rows.npy", "-o", folder / "new", "--base", base, *options)
    assert json.loads(facts.stdout)["base"] == first["fingerprint"]


def test_fit_resumes_from_a_checkpoint(folder):
    arguments = ("fit", folder / "rows.npy", "-o", folder / "new", "--preset", "paper",
                 "--steps", 2, "--threads", 1, "--checkpoint", folder / "check")  # fmt: skip
    done(*arguments)
    assert (folder / "check").exists()
    done(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "best"], "preset is 'best'; choose one of"),
        (["--codes", "bits"], "codes is 'bits'; choose one of 'bytes', 'grid', 'all'"),
        (["--steps", "9"], "steps is an option of grid codes"),
        (["--preset", "paper", "--max-bytes", "9"], "max_bytes is an option of byte codes"),
        (["--dims", "16,x"], "--dims holds 'x'; give whole numbers with commas"),
        (["--codes", "all", "--dims", "12"], "dims is 12, not a multiple of 8"),
        (["--codes", "all", "--levels", "9"], "level is '9'; choose one of"),
        (["--codes", "all", "--device", "tpu"], "device is 'tpu'"),
        (["--threads", "-1"], "threads is -1"),
        (["--codes", "all", "--steps", "-4"], "steps is -4"),
        (["-o", "."], "--output is ., a folder; give the name of a file in it"),
        (["-o", "no/such/new"], "but there is no folder no/such; make it first"),
        (
            ["--codes", "all", "--checkpoint", "no/such/c"],
            "but there is no folder no/such; make it first",
        ),
    ],
)
def test_fit_refuses_options_and_writes_nothing(folder, options, message):
    before = names(folder)
    assert message in refused("fit", folder / "rows.npy", "-o", folder / "new", *options)
    assert names(folder) == before


def test_what_a_fit_refuses_stands_without_a_bar_above_it(folder):
    result = call("fit", folder / "rows.npy", "-o", folder / "new", "--preset", "best")
    assert result.stderr.strip().startswith("error: preset is 'best'")


# --- encode -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("level", ["2", "hybrid", "0.5"])
def test_encode_writes_the_codes(folder, paper_codec, rows, level, compact):
    result = done("encode", folder / "codec", folder / "rows.npy", "-o", folder / "codes.npy",
                  "--dims", 16, "--level", level, *["--compact"] * compact)  # fmt: skip
    codes = np.load(folder / "codes.npy")
    expected = paper_codec.encode(rows, dims=16, level=level, compact=compact)
    np.testing.assert_array_equal(codes, expected)
    assert f"300 codes of {expected.shape[1]} B (16 dims at level {level})" in result.stderr


def test_encode_in_chunks_is_encode_at_once(folder, paper_codec, rows, monkeypatch):
    monkeypatch.setattr("qama.cli.codes.CHUNK_ROWS", 64)
    done("encode", folder / "codec", folder / "rows.npy", "-o", folder / "c", "--level", "1.5")
    codes = np.load(folder / "c")
    assert (codes == paper_codec.encode(rows, dims=32, level="1.5")).mean() > 0.999


@pytest.mark.parametrize("name", ["codes.parquet", "codes.txt"])
def test_encode_refuses_names_of_formats_that_it_does_not_write(folder, name):
    said = refused("encode", folder / "codec", folder / "rows.npy", "-o", folder / name)
    assert "codes are written as .npy or .qama" in said
    assert "--to parquet:codes.parquet" in said
    assert not (folder / name).exists()


# --- index and search -------------------------------------------------------------------------


def test_index_writes_an_index(folder, rows, queries, monkeypatch):
    monkeypatch.setattr("qama.cli.codes.CHUNK_ROWS", 64)
    result = done("index", folder / "codec", folder / "rows.npy", "-o", folder / "new",
                  "--dims", 16, "--level", "2")  # fmt: skip
    index = Index.open(folder / "new")
    assert len(index) == 300
    assert index.ids.tolist() == list(range(300))
    assert repr(index) in result.stderr
    assert "as thermometer codes 6 B each" in result.stderr


def test_index_and_search_with_inverted_lists(folder, rows):
    queries = np.load(folder / "queries.npy")
    path, index = folder / "new", Index(Codec.load(folder / "codec"), dims=16, level="2")
    done("index", folder / "codec", folder / "rows.npy", "-o", path,
         "--dims", 16, "--level", "2", "--nlist", 5)  # fmt: skip
    index.add(rows)
    index.partition(5)
    for nprobe in (1, 5):
        found = done("search", path, folder / "queries.npy", "-k", 3, "--json", "--nprobe", nprobe)
        said = [json.loads(line)["ids"] for line in found.stdout.splitlines()]
        assert said == index.search(queries, 3, nprobe=nprobe).ids.tolist()
    assert json.loads(done("inspect", path, "--json").stdout)["lists"] == 5
    assert "nprobe is 6" in refused("search", path, folder / "queries.npy", "--nprobe", 6)


@pytest.mark.parametrize(
    ("nlist", "message"),
    [
        ("foo", "--nlist is 'foo'; give a whole number >= 1, or \"auto\""),
        ("0", "--nlist is '0'; give a whole number >= 1, or \"auto\""),
        ("301", "--nlist is 301; give a whole number >= 1 and <= 300"),
    ],
)
def test_numbers_of_lists_are_refused_before_anything_is_encoded(
    folder, nlist, message, monkeypatch
):
    monkeypatch.setattr(Index, "add", None)
    vectors, output = folder / "rows.npy", folder / "new"
    assert message in refused("index", folder / "codec", vectors, "-o", output, "--nlist", nlist)
    assert not output.exists()


def test_an_index_is_written_over_an_index_alone(folder, rows):
    arguments = ("index", folder / "codec", folder / "rows.npy", "--level", "1", "-o")
    np.save(folder / "mine.npy", rows)
    for name in ("mine.npy", "queries.npy", "codec"):
        before = (folder / name).read_bytes()
        refused(*arguments, folder / name)
        assert (folder / name).read_bytes() == before
    assert "is there already and is no index" in refused(*arguments, folder / "mine.npy")
    (folder / "empty").touch()
    for name in ("empty", "index"):
        done(*arguments, folder / name)
        assert Index.open(folder / name).code.request == {"dims": 32, "level": "1"}


@pytest.mark.parametrize(("keep", "kept"), [("float16", 64), ("int8", 32)])
def test_index_keeps_vectors_and_search_rescores(folder, rows, keep, kept):
    path, index = folder / "new", Index(Codec.load(folder / "codec"), level="1", keep=keep)
    options = ("--level", "1", "--keep", keep)
    said = done("index", folder / "codec", folder / "rows.npy", "-o", path, *options).stderr
    assert f"4 B and {kept} B kept as {keep} each" in said
    index.add(rows)
    found = done("search", path, folder / "queries.npy", "-k", 3, "--json", "--rescore", 30)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    expected = index.search(np.load(folder / "queries.npy"), 3, rescore=30)
    assert [line["ids"] for line in lines] == expected.ids.tolist()
    assert [line["scores"] for line in lines] == expected.scores.tolist()
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert (facts["version"], facts["keep"], facts["kept_bytes"]) == (6, keep, kept)
    assert facts["sections"]["vectors"] == {"dtype": "|u1", "shape": [300, kept]}


def test_keep_and_rescore_are_refused_where_they_cannot_be(folder):
    vectors, output = folder / "rows.npy", ("-o", folder / "new")
    said = refused("index", folder / "codec", vectors, *output, "--keep", "float32")
    assert "choose one of 'float16', 'int8'" in said
    done("encode", folder / "codec", vectors, "-o", folder / "codes.qama", "--level", "1")
    said = refused("index", folder / "codec", folder / "codes.qama", *output, "--keep", "int8")
    assert "holds codes, and --keep needs vectors" in said
    done("index", folder / "codec", vectors, *output, "--level", "1")
    facts = json.loads(done("inspect", folder / "new", "--json").stdout)
    assert (facts["version"], facts["keep"], facts["kept_bytes"]) == (4, None, 0)
    said = refused("search", folder / "new", folder / "queries.npy", "--rescore", 50)
    assert "rescore needs the vectors themselves" in said


def test_index_takes_ids_from_text_or_npy(folder):
    ids = np.arange(300)[::-1] * 3
    np.save(folder / "ids.npy", ids)
    (folder / "ids.txt").write_text("\n".join(map(str, ids)) + "\n")
    for name in ("ids.npy", "ids.txt"):
        done("index", folder / "codec", folder / "rows.npy", "-o", folder / "new",
             "--level", "1", "--ids", folder / name)  # fmt: skip
        np.testing.assert_array_equal(Index.open(folder / "new").ids, ids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", "has 2 entries for 300 vectors"),
        ("\n".join(["7"] * 300), "holds 7 more than once"),
        ("\n".join(map(str, range(-1, 299))), "holds -1; ids are whole numbers"),
        ("one\ntwo\n", "ids are whole numbers, one a line"),
        ("1\n" + "9" * 30, "ids are whole numbers, one a line"),
    ],
)
def test_index_refuses_ids_and_writes_nothing(folder, text, message):
    (folder / "ids.txt").write_text(text)
    before = names(folder)
    arguments = ("index", folder / "codec", folder / "rows.npy", "-o", folder / "new", "--ids")
    assert message in refused(*arguments, folder / "ids.txt")
    np.save(folder / "one.npy", np.int64(3))
    assert "has 1 entries for 300 vectors" in refused(*arguments, folder / "one.npy")
    (folder / "one.npy").unlink()
    assert names(folder) == before


def test_index_of_codes_refuses_options_that_ask_for_others(folder):
    codec, codes = folder / "codec", folder / "codes.qama"
    done("encode", codec, folder / "rows.npy", "-o", codes, "--dims", 16, "--level", "2")
    arguments = ("index", codec, codes, "-o", folder / "new")
    for options in (["--nbytes", 24], ["--dims", 8], ["--level", "1", "--dims", 16]):
        said = refused(*arguments, *options)
        name, value, *_ = options
        assert f"{codes} holds codes of 16 dims at level 2, and {name} is {value}" in said
        assert not (folder / "new").exists()
    for options in ([], ["--dims", 16], ["--level", "2", "--dims", 16]):
        done(*arguments, *options)
        assert Index.open(folder / "new").code.request == {"dims": 16, "level": "2"}


@pytest.mark.parametrize("command", ["encode", "index"])
def test_an_output_that_cannot_be_written_is_refused_first(folder, command, monkeypatch):
    monkeypatch.setattr(Codec, "load", None)
    for output, message in (
        (folder / "no" / "new", f"there is no folder {folder / 'no'}; make it first"),
        (folder, "a folder; give the name of a file in it"),
        (folder / "rows.npy", "which is an input too; give another name"),
        (Path("/dev/null"), "a pipe or device"),
    ):
        said = refused(command, folder / "codec", folder / "rows.npy", "-o", output)
        assert f"--output is {output}" in said
        assert message in said


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("funnel", [False, True])
def test_search_prints_tabs(folder, scorer, funnel):
    result = done("search", folder / "index", folder / "queries.npy", "-k", 4, "--scorer", scorer,
                  "--threads", 1, *["--funnel"] * funnel)  # fmt: skip
    index, Q = Index.open(folder / "index"), np.load(folder / "queries.npy")
    found = index.search(Q, 4, scorer=scorer)
    expected = [
        f"{query}\t{rank + 1}\t{found.ids[query, rank]}\t{found.scores[query, rank]:.6f}"
        for query in range(3)
        for rank in range(4)
    ]
    assert result.stdout.splitlines() == expected
    assert result.stderr == ""


def test_search_as_json(folder):
    result = done("search", folder / "index", folder / "queries.npy", "-k", 2, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    found = Index.open(folder / "index").search(np.load(folder / "queries.npy"), 2)
    assert [line["query"] for line in lines] == [0, 1, 2]
    assert [line["ids"] for line in lines] == found.ids.tolist()
    assert [line["scores"] for line in lines] == found.scores.tolist()


@pytest.mark.skipif(os.name == "nt", reason="pipes break in another way there")
@pytest.mark.parametrize("arguments", [
    ("search", "index", "queries.npy"),
    ("search", "index", "queries.npy", "--json"),
    ("inspect", "index"),
    ("inspect", "index", "--json"),
])  # fmt: skip
def test_a_reader_that_has_had_enough_is_no_error(folder, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    run = [sys.executable, "-m", "qama", *arguments]
    with os.fdopen(writing, "wb") as stdout:
        result = subprocess.run(
            run, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (result.returncode, result.stderr) == (1, "")


# --- inspect ----------------------------------------------------------------------------------


def test_inspect_a_codec(folder, paper_codec):
    facts = json.loads(done("inspect", folder / "codec", "--json").stdout)
    assert facts["kind"] == "codec"
    assert facts["fingerprint"] == paper_codec.fingerprint
    assert facts["vector_dims"] == 32
    assert facts["size"] == (folder / "codec").stat().st_size
    assert {"dims": 16, "level": "2", "bytes": 6, "compact_bytes": 4} in facts["codes"]
    assert len([c for c in facts["codes"] if c.get("level")]) == 15
    text = done("inspect", folder / "codec").stdout
    assert paper_codec.fingerprint in text
    assert "hybrid" in text


def test_inspect_an_index(folder):
    facts = json.loads(done("inspect", folder / "index", "--json").stdout)
    assert (facts["kind"], facts["vectors"]) == ("index", 300)
    assert (facts["stored_bytes"], facts["thermometer_bytes"]) == (4, 6)
    assert facts["code"] == "16 dims at level 2"
    assert "300" in done("inspect", folder / "index").stdout


# --- eval -------------------------------------------------------------------------------------


@pytest.fixture
def collection(folder, rows, queries):
    """A BEIR folder of 60 texts, and vectors for them."""
    tiny = folder / "tiny"
    (tiny / "qrels").mkdir(parents=True)
    docs = [{"_id": f"d{i}", "title": "", "text": f"text {i}"} for i in range(60)]
    asked = [{"_id": f"q{i}", "text": f"question {i}"} for i in range(8)]
    for name, records in (("corpus", docs), ("queries", asked)):
        (tiny / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    near = np.argmax(queries[:8] @ rows[:60].T, axis=1)
    judged = "".join(f"q{i}\td{near[i]}\t1\n" for i in range(8))
    (tiny / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    np.save(folder / "tiny.docs.npy", rows[:60])
    np.save(folder / "tiny.queries.npy", queries[:8])
    return tiny


def test_eval_judges_every_code_and_the_baselines(folder, collection):
    result = done("eval", collection, "--embeddings", folder, "--codec", folder / "codec",
                  "-o", folder / "results.json", "--threads", 1, "--json")  # fmt: skip
    records = json.loads(result.stdout)["tiny"]
    assert records[0]["method"] == "float32"
    found = {(r["level"], r["dims"]) for r in records if r["method"] == "qama"}
    assert {(level, dims) for level in levels.LEVEL_NAMES for dims in (32, 16, 8)} <= found
    assert {"int8", "sign"} <= {r["method"] for r in records}
    assert all(0 <= r["ndcg10"] <= 1 for r in records)
    assert (folder / "results.json").exists()


def test_eval_prints_a_table(folder, collection):
    result = done("eval", collection, "--embeddings", folder, "--codec", folder / "codec",
                  "--no-baselines", "--threads", 1)  # fmt: skip
    assert "tiny" in result.stdout
    assert "hybrid" in result.stdout


def test_eval_refuses(folder, collection):
    codec = ("--codec", folder / "codec")
    assert "give --embeddings FOLDER" in refused("eval", collection, *codec)
    assert "is no folder" in refused("eval", "NoSuchTask", *codec)
    assert "No such file" in refused("eval", collection, *codec, "--embeddings", folder / "none")
    twin = folder / "other" / "tiny"
    assert "2 of the folders are named 'tiny'" in refused("eval", collection, twin, *codec)
    (collection / "qrels" / "test.tsv").unlink()
    assert "test.tsv is missing" in refused("eval", collection, *codec, "--embeddings", folder)


# --- errors -----------------------------------------------------------------------------------


def damage(folder):
    """Files that are not what a command takes them for."""
    np.save(folder / "narrow.npy", mixture(20, 16))
    np.save(folder / "flat.npy", np.zeros(32, np.float32))
    np.save(folder / "ints.npy", np.zeros((20, 32), np.int64))
    np.save(folder / "empty.npy", np.zeros((0, 32), np.float32))
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    poisoned = mixture(300, 32)
    poisoned[200, 4] = np.nan
    np.save(folder / "nan.npy", poisoned)
    (folder / "text").write_text("hello")
    (folder / "short").write_bytes((folder / "codec").read_bytes()[:500])
    (folder / "short index").write_bytes((folder / "index").read_bytes()[:-64])


ENCODE_ERRORS = [
    (("codec", "nothing.npy"), "No such file"),
    (("codec", "narrow.npy"), "the vectors has 16 columns; this codec was fitted on 32"),
    (("codec", "flat.npy"), "one axis of 32"),
    (("codec", "ints.npy"), "dtype int64"),
    (("codec", "empty.npy"), ""),
    (("codec", "pickled.npy"), "not a .npy file of plain numbers"),
    (("codec", "text"), "not a .npy file of plain numbers"),
    (("codec", "nan.npy"), "[200, 4] is nan"),
    (("nothing", "rows.npy"), "No such file"),
    (("text", "rows.npy"), "is not a qama file"),
    (("short", "rows.npy"), "truncated"),
    (("index", "rows.npy"), "holds a qama 'index'; this needs a 'codec'"),
    (("codec", "rows.npy", "--dims", 12), "dims is 12; choose one of 32, 16, 8"),
    (("codec", "rows.npy", "--level", "3"), "level is '3'; choose one of"),
    (("codec", "rows.npy", "--nbytes", 7), "nbytes is 7"),
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("arguments", "message"), ENCODE_ERRORS, ids=[str(e[0]) for e in ENCODE_ERRORS]
)
@pytest.mark.parametrize("command", ["encode", "index"])
def test_bad_input_is_one_sentence_and_nothing_is_written(
    folder, command, arguments, message, monkeypatch
):
    monkeypatch.setattr("qama.cli.codes.CHUNK_ROWS", 64)
    damage(folder)
    codec, vectors, *options = arguments
    before = names(folder)
    said = refused(command, folder / codec, folder / vectors, "-o", folder / "out", *options)
    assert message in said
    assert names(folder) == before


@pytest.mark.parametrize("command", ["encode", "index"])
def test_bad_input_leaves_an_older_file_as_it_was(folder, command):
    damage(folder)
    before = shutil.copy(folder / "index", folder / "out").read_bytes()
    said = refused(command, folder / "codec", folder / "nan.npy", "-o", folder / "out")
    assert "[200, 4] is nan" in said
    assert (folder / "out").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "queries.npy"), "No such file"),
        (("codec", "queries.npy"), "holds a qama 'codec'; this needs a 'index'"),
        (("short index", "queries.npy"), "truncated"),
        (("index", "narrow.npy"), "Q has 16 columns"),
        (("index", "queries.npy", "-k", 0), "k is 0; give a whole number >= 1"),
        (("index", "queries.npy", "--threads", -2), "threads is -2"),
        (("index", "queries.npy", "--scorer", "l2"), "scorer is 'l2'"),
    ],
    ids=lambda value: str(value),
)
def test_search_refuses(folder, arguments, message):
    damage(folder)
    index, queries, *options = arguments
    assert message in refused("search", folder / index, folder / queries, *options)


def test_inspect_refuses(folder):
    damage(folder)
    for name, message in (("text", "is not a qama file"), ("short", "truncated"),
                          ("short index", "truncated"), ("nothing", "No such file")):  # fmt: skip
        assert message in refused("inspect", folder / name)


def test_a_wrong_option_is_exit_code_2():
    assert call("search", "--no-such-option").exit_code == 2
    assert call("nothing").exit_code == 2


# --- eval by models and tasks -----------------------------------------------------------------


def test_eval_of_two_collections_adds_their_mean(folder, collection):
    shutil.copytree(collection, folder / "other")
    for kind in ("docs", "queries"):
        shutil.copy(folder / f"tiny.{kind}.npy", folder / f"other.{kind}.npy")
    options = ("--codec", folder / "codec", "--no-baselines", "--threads", 1)
    result = done("eval", collection, folder / "other", "--embeddings", folder, *options,
                  "-o", folder / "r.json")  # fmt: skip
    assert "mean of 2 collections" in result.stdout
    written = json.loads((folder / "r.json").read_text())["results"]
    assert set(written) == {"tiny", "other"}
    for one, two in zip(*written.values(), strict=True):
        assert one | {"ms": 0} == two | {"ms": 0}


def test_eval_embeds_with_a_model_and_fits(folder, collection, rows, queries, monkeypatch):
    vectors = {f"text {i}": row for i, row in enumerate(rows[:60])}
    vectors |= {f"question {i}": row for i, row in enumerate(queries[:8])}
    asked = []

    def embed(texts, model):
        asked.append((model, len(texts)))
        return np.array([vectors[text] for text in texts])

    monkeypatch.setattr("qama.evaluation.embed.embed", embed)
    untrained = functools.partial(qama.fit, steps=0, codes="grid")
    monkeypatch.setattr(qama, "fit", untrained)
    options = ("eval", collection, "--threads", 1, "--no-baselines", "--json")
    by_model = done(*options, "--model", "some/model")
    assert asked == [("some/model", 60), ("some/model", 8)]
    assert "embedding 60 documents of tiny with some/model" in by_model.stderr
    by_files = done(*options, "--embeddings", folder)
    for one, two in zip(json.loads(by_model.stdout)["tiny"], json.loads(by_files.stdout)["tiny"],
                        strict=True):  # fmt: skip
        assert one | {"ms": 0} == two | {"ms": 0}


def test_eval_runs_a_task_that_is_no_folder(folder, monkeypatch):
    asked = []

    def run(model, tasks, codec, *, threads):
        asked.append((model, tasks, codec.fingerprint, threads))
        return SimpleNamespace(task_results=[SimpleNamespace(get_score=lambda: 0.25)])

    monkeypatch.setattr("qama.integrations.mteb.run", run)
    result = done("eval", "SomeTask", "--model", "some/model", "--codec", folder / "codec",
                  "--threads", 2, "--json")  # fmt: skip
    fingerprint = Codec.load(folder / "codec").fingerprint
    assert json.loads(result.stdout.splitlines()[0]) == {"task": "SomeTask", "ndcg_at_10": 0.25}
    assert asked == [("some/model", "SomeTask", fingerprint, 2)]


def test_a_backup_is_listed_and_restored(folder):
    said = done("backup", folder / "index", folder / "backups").stderr
    assert "backup 1 of" in said
    facts = json.loads(done("backup", folder / "index", folder / "backups", "--json").stdout)
    assert (facts["number"], facts["written"], facts["rows"]) == (2, 0, 300)
    listed = done("restore", folder / "backups").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["1", "2"]
    assert json.loads(done("restore", folder / "backups", "--json").stdout.splitlines()[0])
    said = done("restore", folder / "backups", "-o", folder / "b", "--number", 1).stderr
    assert "backup 1" in said
    assert json.loads(done("restore", folder / "backups", "-o", folder / "c", "--json").stdout)
    assert (folder / "b").read_bytes() == (folder / "index").read_bytes()
    done("verify", folder / "b")
    assert "is there already" in refused("restore", folder / "backups", "-o", folder / "b")
    assert "holds no backup" in refused("restore", folder, "-o", folder / "d")


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_no_backups_are_no_empty_list(folder, json):
    mistyped = folder / "backup"
    assert f"there is no folder {mistyped}" in refused("restore", mistyped, *json)
    assert f"{folder} holds no backup" in refused("restore", folder, *json)


def test_a_replica_is_brought_up_to_date_until_it_is_stopped(folder, rows, monkeypatch):
    assert "the base" in done("replicate", folder / "index", folder / "replica").stderr
    with Index.open(folder / "index", "a") as index:
        index.add(rows[:2], durable=True)
    said = json.loads(done("replicate", folder / "index", folder / "replica", "--json").stdout)
    assert (said["base"], said["changes"]) == (False, 1)
    assert len(Index.open(folder / "replica")) == 302
    waits = []

    def stopped(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("qama.cli.operating.time.sleep", stopped)
    call("replicate", folder / "index", folder / "replica", "--every", 2)
    assert waits == [2, 2, 2]


def test_shards_are_made_verified_and_brought_to_another_number(folder):
    said = done("shard", folder / "index", "-o", folder / "three", "--shards", 3).stderr
    assert "100 vectors, rows 0 to 99" in " ".join(said.split())
    done("verify", folder / "three")
    parts = sorted((folder / "three").glob("*.qama"))
    made = done("shard", *parts, "-o", folder / "two", "--shards", 2, "--json")
    assert [part["rows"] for part in json.loads(made.stdout)["files"]] == [150, 150]
    raw = bytearray(parts[1].read_bytes())
    raw[-3] ^= 1
    parts[1].write_bytes(raw)
    assert call("verify", folder / "three", "--json").exit_code == 1
    again = refused("shard", folder / "index", "-o", folder / "two", "--shards", 2)
    assert "holds shards already" in again
    assert f"{folder} holds no shards" in refused("verify", folder)
