"""How far, how fast, how long; what --quiet, NO_COLOR and a log make of it; the way in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_cli import done, refused

from qama import console
from qama.pace import Pace

GOLDEN = Path(__file__).parent / "golden" / "codec.qama"


@pytest.mark.parametrize(
    ("total", "told", "text"),
    [
        (None, [], ""),
        (None, [(0, 0)], ""),
        (None, [(0, 0), (48, 4)], "48, 12/s"),
        (48, [(0, 0)], "0/48"),
        (48, [(0, 0), (12, 0.4)], "12/48"),  # too soon for a rate
        (48, [(0, 0), (12, 4)], "12/48, 3.0/s, 12 s left"),
        (48, [(0, 0), (48, 4)], "48/48, 12/s"),
        (1_000_000, [(0, 0), (10_000, 1)], "10,000/1,000,000, 10,000/s, 1 min 39 s left"),
        (1_000_000, [(0, 0), (100, 1)], "100/1,000,000, 100/s, 2 h 46 min left"),
        (100, [(0, 0), (50, 1), (10, 2), (20, 12)], "20/100, 1.0/s, 1 min 20 s left"),  # anew
        (1000, [(0, 0), (500, 1), (510, 40), (520, 60)], "520/1,000, 0.3/s, 23 min 36 s left"),
        (10, [(0, 0), (20, 5)], "20/10, 4.0/s"),  # more than was said
    ],
)
def test_how_far_how_fast_how_long(total, told, text):
    pace = Pace(total)
    for done_, now in told:
        pace.reach(done_, now)
    assert str(pace) == text


def test_a_total_that_becomes_known():
    pace = Pace()
    pace.reach(0, 0)
    pace.reach(5, 10, 10)
    assert (pace.rate, pace.left) == (0.5, 10)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is told."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_in_a_log_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    with console.progress("counting", 100) as update:
        for number in range(1, 101):
            clock.now = number / 4
            update(number, "a note")
    assert capsys.readouterr().err.splitlines() == [
        "counting: 40/100, 4.0/s, 15 s left  a note",
        "counting: 80/100, 4.0/s, 5 s left  a note",
        "counting: 100/100, 4.0/s  a note  (25.0 s)",
    ]


def test_what_fails_is_not_said_to_have_ended(capsys):
    def fail():
        with console.progress("counting", 2) as update:
            update(1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capsys.readouterr().err == ""


def test_what_has_no_known_end_is_counted(clock, capsys):
    with console.progress("judging", None) as update:
        clock.now = 20
        update(48)
    out = capsys.readouterr().err
    assert "judging: 48, 2.4/s" in out
    assert "None" not in out


@pytest.fixture
def vectors(tmp_path):
    file = tmp_path / "X.npy"
    np.save(file, np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32))
    return file


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_says_nothing_and_does_the_same(tmp_path, vectors, option):
    loud = done("encode", GOLDEN, vectors, "-o", tmp_path / "a.npy")
    quiet = done("encode", GOLDEN, vectors, "-o", tmp_path / "b.npy", option)
    assert "200 codes" in loud.stderr
    assert quiet.stderr == quiet.stdout == ""
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    again = done("encode", GOLDEN, vectors, "-o", tmp_path / "a.npy")
    assert again.stderr != ""  # it was said of one call


def test_quiet_hides_no_error_and_no_data(tmp_path, vectors):
    assert "No such file" in refused("inspect", tmp_path / "none", "--quiet")
    assert "fingerprint" in done("inspect", GOLDEN, "-q").stdout


def test_every_command_can_be_quiet():
    from typer.main import get_command

    from qama.cli.main import app

    for name, command in get_command(app).commands.items():
        assert "quiet" in {part.name for part in command.params}, name


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path):
    said = refused("inspect", tmp_path / "none.index")
    assert said.replace("\n", "").endswith("none.index: No such file or directory; check the name")
    assert "Errno" not in said


def test_qama_alone_shows_the_way():
    shown = done()
    for step in ("qama report", "qama fit", "qama index", "qama search", "qama --help"):
        assert step in shown.stdout
    assert len(shown.stdout.splitlines()) <= 12


def test_a_shell_completes_commands():
    asked = {"_QAMA_COMPLETE": "complete_bash", "COMP_WORDS": "qama se", "COMP_CWORD": "1"}
    found = subprocess.run(
        [sys.executable, "-c", "from qama.cli.main import app; app(prog_name='qama')"],
        capture_output=True, text=True, check=False, env=os.environ | asked,
    )  # fmt: skip
    assert found.stdout.split() == ["search", "serve"]


def in_terminal(*command, **surroundings):
    """What a command writes to a terminal of its own."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "100", **surroundings}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        out = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # what Linux answers when the other end is closed
                break
            if not part:
                break
            out += part
    os.close(ours)
    return child.returncode, out.decode()


SLOW = """
import time
from qama import console
with console.progress("waiting", 4) as update:
    for number in range(1, 5):
        time.sleep(0.3)
        update(number)
"""


def test_a_terminal_gets_a_bar_with_rate_and_time():
    code, out = in_terminal(sys.executable, "-c", SLOW)
    assert code == 0
    assert "━" in out
    assert "4/4, 3" in out  # about 3.3/s
    assert "\x1b[3" in out  # colours


@pytest.mark.parametrize("command", [("-c", SLOW), ("-m", "qama", "inspect", "no file")])
def test_no_color(command):
    colours = ["\x1b[3", "\x1b[1;3", "\x1b[9", "\x1b[38", "\x1b[0;3"]
    _, out = in_terminal(sys.executable, *command, NO_COLOR="1")
    assert not [code for code in colours if code in out]
