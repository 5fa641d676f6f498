"""verify, repair, code files, and damaged files of every kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_cli import call, done, refused
from test_container import forge, with_section

from qama import Codec, FormatError, Index, codefile, container
from qama.errors import LockedError
from qama.search.storage import base, log
from qama.search.storage.repair import repair
from qama.search.storage.verify import verify

GOLDEN = Path(__file__).parent / "golden" / "codec.qama"
CELL = {"dims": 8, "level": "2"}
X = np.random.default_rng(0).standard_normal((3100, 8)).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["row numbers", "given ids"])
def path(request, tmp_path):
    """An index of 3000 rows, four chunks short of a block, and a log of three changes."""
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:3000], ids=range(7000, 10_000) if request.param else None)
    index.save(tmp_path / "index")
    with Index.open(tmp_path / "index", mode="a") as opened:
        opened.add(X[3000:3040], durable=True)
        opened.delete(opened.ids[[3, 2000]], durable=True)
        opened.upsert(opened.ids[[0, 2500]], X[3040:3042], durable=True)
    return tmp_path / "index"


def sections(path):
    raw = path.read_bytes()
    header = json.loads(raw[24 : 24 + int.from_bytes(raw[16:24], "little")])
    return {entry["name"]: entry for entry in header["sections"]}


def damage(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def vectors_of(index):
    return dict(zip(index.ids.tolist(), map(bytes, index._now.live_codes()), strict=True))


# --- verify -----------------------------------------------------------------------------------


def test_whole_files_are_whole(path):
    assert verify(GOLDEN).passed == [f"codec {Codec.load(GOLDEN).fingerprint}: "
                                     f"checksums and parts fit"]  # fmt: skip
    findings = verify(path)
    assert findings.problems == []
    assert "index.qama-log: 3 changes follow each other" in findings.passed
    assert "3038 vectors can be found" in findings.passed


def test_every_damaged_byte_is_found(path):
    whole = path.read_bytes()
    for name, entry in sections(path).items():
        for at in (entry["offset"], entry["offset"] + entry["nbytes"] - 1):
            damage(path, at)
            problems = verify(path).problems
            assert any(name in problem or "fingerprint" in problem for problem in problems)
            path.write_bytes(whole)
    logged = base.log_path(path)
    for at in (0, 20, 70, logged.stat().st_size // 2):
        damage(logged, at)
        assert not verify(path).whole
        damage(logged, at)
    assert verify(path).whole


def test_damaged_rows_are_named(path):
    damage(path, sections(path)["blocks"]["offset"] + 2 * 1024 + 5)  # chunk 1: 2 bytes a row
    problems = verify(path).problems
    assert problems[0].endswith("section 'blocks' is damaged (checksum differs)")
    assert problems[1].endswith("rows 1024 to 2047 are not proven")
    with pytest.raises(FormatError, match="'blocks' is damaged"):
        Index.open(path, verify=True)
    opened = Index.open(path)
    opened.refresh()
    assert len(opened) == 3038  # opening and looking again read no rows


def test_a_sample_is_encoded_again(tmp_path):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:3000])
    index.save(tmp_path / "index")
    assert "1000 vectors encode to what is stored" in verify(tmp_path / "index", None, X).passed
    problems = verify(tmp_path / "index", None, -X).problems
    assert len(problems) == 1
    assert problems[0].endswith("of 1000 vectors encode to other codes")


# --- repair -----------------------------------------------------------------------------------


def test_a_whole_index_is_repaired_to_itself(path, tmp_path):
    salvage = repair(path, tmp_path / "new")
    assert (salvage.rows, salvage.lost_rows) == (3000, 0)
    assert (salvage.records, salvage.lost_records, salvage.vectors) == (3, 0, 3038)
    before, after = Index.open(path, mode="a"), Index.open(tmp_path / "new", mode="a")
    assert list(vectors_of(after).items()) == list(vectors_of(before).items())
    assert after.add(X[:1]).tolist() == before.add(X[:1]).tolist()


def test_a_link_leads_to_the_log_as_well(path, tmp_path):
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "link"
    link.symlink_to(path)
    assert repair(link, tmp_path / "new").vectors == len(Index.open(path)) == 3038
    assert f"{len(Index.open(path))} vectors can be found" in verify(link).passed
    assert json.loads(done("inspect", link, "--json").stdout)["vectors"] == 3038
    with pytest.raises(ValueError, match="the log of"):
        repair(path, base.log_path(path))


def test_what_does_not_fit_the_file_is_no_damage_of_it(path):
    with pytest.raises(ValueError, match="the vectors has dtype int64"):
        verify(path, None, np.ones((5, 8), np.int64))


def test_a_repair_takes_the_place_of_an_index_as_a_save_does(path, tmp_path):
    other = Index(Codec.load(GOLDEN), dims=8, level="2")
    other.add(X[:50])
    other.save(tmp_path / "new")
    with Index.open(tmp_path / "new", mode="a") as held:
        held.add(X[:1])
        with pytest.raises(LockedError):
            repair(path, tmp_path / "new")
    repair(path, tmp_path / "new")
    assert vectors_of(Index.open(tmp_path / "new")) == vectors_of(Index.open(path))
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match="the damaged file itself"):
        repair(path, tmp_path / "sub" / ".." / path.name)


@pytest.mark.parametrize(  # row numbers are not stored: there only blocks can be damaged
    ("path", "name"), [(False, "blocks"), (True, "blocks"), (True, "ids")], indirect=["path"]
)
def test_undamaged_rows_are_saved(path, tmp_path, name):
    before = vectors_of(Index.open(path))
    entry = sections(path)[name]
    each = entry["nbytes"] // (3008 if name == "blocks" else 3000)
    damage(path, entry["offset"] + each * 1500)
    salvage = repair(path, tmp_path / "new")
    assert (salvage.rows, salvage.lost_rows, salvage.records) == (3000 - 1024, 1024, 3)
    after = vectors_of(Index.open(tmp_path / "new", verify=True))
    first = 7000 if "ids" in sections(path) else 0
    lost = {first + row for row in range(1024, 2048)}
    assert after == {key: code for key, code in before.items() if key not in lost}


def test_rows_whose_proof_is_damaged_are_not_trusted(path, tmp_path):
    """Blocks and their checksums are damaged both: only what the log holds is proven."""
    for name in ("blocks", "chunks"):
        damage(path, sections(path)[name]["offset"])
    salvage = repair(path, tmp_path / "new")
    assert (salvage.rows, salvage.lost_rows, salvage.records) == (0, 3000, 3)
    assert {f"section {name!r} is damaged" for name in ("blocks", "chunks")} <= set(salvage.notes)
    index = Index.open(tmp_path / "new", mode="a")
    assert len(index) == 42
    expected = {bytes(code) for code in index.codec.encode(X[3000:3042], compact=True, **CELL)}
    assert set(vectors_of(index).values()) == expected
    base.log_path(path).unlink()
    lost = Index.open(path, verify=False).ids
    assert repair(path, tmp_path / "empty").vectors == 0
    following = Index.open(tmp_path / "empty", mode="a").add(X[:1])
    assert following.tolist() == [lost.max() + 1]  # lost ids are not given again


def test_a_torso_is_repaired(path, tmp_path):
    raw, entry = path.read_bytes(), sections(path)["blocks"]
    before = vectors_of(Index.open(path))
    path.write_bytes(raw[: entry["offset"] + 2 * 2100])
    with pytest.raises(FormatError, match="truncated"):
        Index.open(path)
    salvage = repair(path, tmp_path / "new")
    assert "bytes at its end" in salvage.notes[0]
    after = vectors_of(Index.open(tmp_path / "new"))
    if "ids" in sections(path):
        assert salvage.rows == 0
        assert len(after) == 42  # what the log adds
    else:
        assert salvage.rows == 2048
        assert after.items() <= before.items()


def test_the_log_is_salvaged_around_damage(path, tmp_path):
    logged = base.log_path(path)
    end = logged.stat().st_size  # the last record says that those before it were synced
    for at, records, lost in ((70, 2, 1), (30, 3, 0), (end - 3, 3, 0), (end - 48 - 3, 2, 1)):
        damage(logged, at)
        salvage = repair(path, tmp_path / "new")
        assert (salvage.rows, salvage.records, salvage.lost_records) == (3000, records, lost)
        damage(logged, at)


def test_logs_that_do_not_belong_to_the_index_are_not_used(path, tmp_path):
    own = base.log_path(path).read_bytes()
    identity = base.read(path).identity
    with Index.open(path, mode="a") as index:
        index.compact()
    base.log_path(path).write_bytes(own)
    salvage = repair(path, tmp_path / "new")
    assert salvage.notes == [f"{path}.qama-log is of an older base, which "
                             f"{base.read(path).identity} contains"]  # fmt: skip
    with Index.open(path, mode="a") as index:
        index.compact()
    base.log_path(path).write_bytes(own)
    salvage = repair(path, tmp_path / "new")
    assert salvage.notes == [f"{path}.qama-log belongs to another index, {identity}: not used"]
    base.log_path(path).unlink()
    salvage = repair(path, tmp_path / "new")
    assert (salvage.notes, salvage.records) == (["there is no log"], 0)
    assert salvage.vectors == 3038


def test_a_record_that_makes_no_sense_is_left_out(path, tmp_path):
    found = base.read(path)
    raw = log.Header(found.identity, found.codec.fingerprint, 2).pack()
    for number, ids in enumerate(([-4], [70_000]), start=1):
        raw += log.pack("add", number, 64, np.array(ids), np.zeros((1, 2), np.uint8))
    base.log_path(path).write_bytes(raw)
    salvage = repair(path, tmp_path / "new")
    assert (salvage.records, salvage.lost_records, salvage.vectors) == (1, 1, 3001)
    assert "record 1 is inconsistent: ids holds -4" in salvage.notes[0]


def test_a_damaged_codec_can_be_given(path, tmp_path):
    damage(path, sections(path)["codec.transform.w"]["offset"])
    with pytest.raises(FormatError, match=r"its codec is damaged; give the codec .* --codec"):
        repair(path, tmp_path / "new")
    assert repair(path, tmp_path / "new", Codec.load(GOLDEN)).vectors == 3038
    other = Codec.load(GOLDEN.with_name("codec-all.qama"))
    with pytest.raises(ValueError, match="was made with"):
        repair(path, tmp_path / "other", other)


def test_what_proves_nothing_is_not_repaired(path, tmp_path):
    whole = path.read_bytes()
    for raw in (b"", whole[:20], whole[:100], b"x" * 500, whole[:30] + b"x" + whole[31:]):
        path.write_bytes(raw)
        with pytest.raises(FormatError):
            repair(path, tmp_path / "new")
        assert not (tmp_path / "new").exists()
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="the damaged file itself"):
        repair(path, path)


@pytest.mark.parametrize(
    "changes",
    [{"following": 3}, {"following": None}, {"generation": -1}, {"generation": "1"},
     {"generation": 2**62 + 1},
     {"replaces": 7}, {"replaces": "xyz"}, {"replaces": "0" * 17}, {"replaces": "G" * 16},
     {"following": 3001}, {"rows": 2999}, {"rows": 4000}],
    ids=repr,
)  # fmt: skip
def test_meta_that_does_not_fit_is_refused(tmp_path, changes):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:3000])
    index.save(tmp_path / "index")
    found = container.read(tmp_path / "index", "index", base.FLAT)
    chunks = {**found.arrays, "chunks": np.zeros(2, np.uint64)}
    for meta, arrays in ((found.meta | changes, found.arrays), (found.meta, chunks)):
        container.write(tmp_path / "forged", "index", base.FLAT, meta, arrays)
        with pytest.raises(FormatError, match="the index is inconsistent"):
            Index.open(tmp_path / "forged")


@pytest.mark.parametrize("version", [0, base.FORMAT + 1])
def test_other_versions_of_the_index_are_refused(tmp_path, version):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.save(tmp_path / "index")
    found = container.read(tmp_path / "index", "index", base.FLAT)
    container.write(tmp_path / "other", "index", version, found.meta, found.arrays)
    with pytest.raises(FormatError, match=f"index of version {version}; this qama reads"):
        Index.open(tmp_path / "other")


def test_a_generation_may_be_as_high_as_the_format_says(tmp_path):
    index = Index(Codec.load(GOLDEN), **CELL)
    base.write(tmp_path / "index", index.codec, index.code, index._now, 2**62, None)
    assert base.read(tmp_path / "index").generation == 2**62


# --- code files -------------------------------------------------------------------------------


def test_codes_are_refused_by_another_codec(tmp_path):
    codec, other = Codec.load(GOLDEN), Codec.load(GOLDEN.with_name("codec-all.qama"))
    codefile.write(tmp_path / "c", codec, codec.code(**CELL), codec.encode(X, **CELL), False)
    with pytest.raises(FormatError, match=f"{codec.fingerprint}.*{other.fingerprint}"):
        codefile.read(tmp_path / "c", other)
    assert codefile.codec_of(tmp_path / "c") == codec.fingerprint
    with pytest.raises(FormatError, match="holds a qama 'codes'; this needs a 'index'"):
        base.read(tmp_path / "c")


@pytest.mark.parametrize(
    ("meta", "codes", "message"),
    [
        ({"compact": 1}, None, "compact is 1, codes are uint8"),
        ({}, np.zeros((2, 2), np.int64), "codes are int64"),
        ({}, np.zeros((2, 3), np.uint8), r"codes have shape \(2, 3\); 8 dims at level 2 has 2 B"),
        ({}, np.zeros(4, np.uint8), r"codes have shape \(4,\)"),
        ({}, np.zeros((2, 2, 1), np.uint8), r"codes have shape \(2, 2, 1\)"),
        ({"codec": "0" * 16}, None, "holds codes of codec '0000000000000000'; this codec is"),
        ({"codec": "f" * 16}, None, "holds codes of codec 'ffffffffffffffff'; this codec is"),
        ({"codec": None}, None, "holds codes of codec None; this codec is"),
        ({"compact": False}, None, r"codes have shape \(2, 2\); 8 dims at level 2 has 3 B"),
        ({"code": {"dims": 8, "level": "3"}}, None, "level is '3'"),
        ({"code": [8]}, None, "the codes are inconsistent"),
        ({"code": {"width": 8}}, None, "the codes are inconsistent"),
    ],
)
def test_a_code_file_that_does_not_fit_itself_is_refused(tmp_path, meta, codes, message):
    codec = Codec.load(GOLDEN)
    whole = {"codec": codec.fingerprint, "code": CELL, "compact": True}
    stored = np.zeros((2, 2), np.uint8) if codes is None else codes
    container.write(tmp_path / "c", "codes", 1, whole | meta, {"codes": stored})
    with pytest.raises(FormatError, match=message):
        codefile.read(tmp_path / "c", codec)
    container.write(tmp_path / "c", "codes", 1, whole, {})
    with pytest.raises(FormatError, match="inconsistent: 'codes'"):
        codefile.read(tmp_path / "c", codec)


@pytest.mark.parametrize("compact", [False, True])
def test_codes_are_added_like_their_vectors(tmp_path, compact):
    codec = Codec.load(GOLDEN)
    codes = codec.encode(X[:100], compact=compact, **CELL)
    from_codes, from_vectors = Index(codec, **CELL), Index(codec, **CELL)
    assert from_codes.add_codes(codes).tolist() == list(range(100))
    from_vectors.add(X[:100])
    assert vectors_of(from_codes) == vectors_of(from_vectors)
    for width in (1, 4):
        with pytest.raises(ValueError, match="bytes a row"):
            from_codes.add_codes(np.zeros((5, width), np.uint8))
    with pytest.raises(ValueError, match="id 70 is in the index already"):
        from_codes.add_codes(codes[:4], ids=[500, 70, 3, 600])


# --- the command line -------------------------------------------------------------------------


def test_the_command_line_verifies_and_repairs(path, tmp_path):
    assert "ok: padding is zero" in done("verify", path).stderr
    damage(path, sections(path)["blocks"]["offset"])
    result = call("verify", path, "--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert not findings["whole"]
    assert "rows 0 to 1023 are not proven" in findings["problems"][1]
    said = done("repair", path, "-o", tmp_path / "new").stderr
    assert "of the base 1976 rows were kept and 1024 lost, of the log 3 changes were made" in said
    assert json.loads(done("verify", tmp_path / "new", "--json").stdout)["whole"]
    facts = json.loads(done("repair", path, "-o", tmp_path / "new", "--json").stdout)
    assert facts["lost_rows"] == 1024
    assert "No such file" in refused("verify", tmp_path / "nothing")


def test_inspect_shows_the_log(path):
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert (facts["version"], facts["generation"], facts["rows"]) == (4, 0, 3000)
    assert facts["log"] == {
        "bytes": base.log_path(path).stat().st_size, "records": 6,
        "add": 1, "upsert": 1, "delete": 1, "sync": 3, "unfinished_bytes": 0,
    }  # fmt: skip
    assert facts["sections"]["blocks"] == {"dtype": "|u1", "shape": [47, 2, 64]}


def test_encode_and_index_by_a_code_file(tmp_path):
    np.save(tmp_path / "x.npy", X[:200])
    codes = tmp_path / "codes.qama"
    done("encode", GOLDEN, tmp_path / "x.npy", "-o", codes, "--dims", 8, "--level", 2)
    assert json.loads(done("inspect", codes, "--json").stdout)["kind"] == "codes"
    assert Codec.load(GOLDEN).fingerprint in done("inspect", codes).stdout
    assert "ok: 200 codes" in done("verify", codes, "--codec", GOLDEN).stderr
    said = done("verify", codes, "--codec", GOLDEN, "--vectors", tmp_path / "x.npy").stderr
    assert "ok: 200 vectors encode to what is stored" in said
    np.save(tmp_path / "other.npy", -X[:200])
    said = call("verify", codes, "--codec", GOLDEN, "--vectors", tmp_path / "other.npy")
    assert said.exit_code == 1
    assert "damaged: 200 of 200 vectors encode to other codes" in said.stderr
    assert "the checksum fits; give that codec for more" in done("verify", codes).stderr
    damage(codes, sections(codes)["codes"]["offset"])
    assert "'codes' is damaged" in json.loads(call("verify", codes, "--json").stdout)["problems"][0]
    damage(codes, sections(codes)["codes"]["offset"])
    done("index", GOLDEN, codes, "-o", tmp_path / "index")
    direct = Index(Codec.load(GOLDEN), **CELL)
    direct.add(X[:200])
    assert vectors_of(Index.open(tmp_path / "index")) == vectors_of(direct)
    other = GOLDEN.with_name("codec-all.qama")
    assert "this codec is" in refused("index", other, codes, "-o", tmp_path / "no")


# --- hostile files ----------------------------------------------------------------------------


def test_a_few_hundred_damaged_files():
    """`tests/long/corrupt.py` does it 20,000 times."""
    from corrupt import run
    from targets import TARGETS

    counts = run(500, 1)
    assert counts["files"] == 500
    for kind in TARGETS:
        assert counts.get(f"{kind} refused", 0) + counts.get(f"{kind} used", 0) > 10
    assert counts["index refused"] > 5
    assert counts["index used"] > 5


def test_sections_that_overlap_are_refused(tmp_path):
    header = with_section()
    header["sections"].append({**header["sections"][0], "name": "b"})
    path = forge(tmp_path / "x", header, bytes(600))
    with pytest.raises(FormatError, match="'b' overlaps"):
        container.read(path, "test", 7)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        Index.open(tmp_path / "pipe")
