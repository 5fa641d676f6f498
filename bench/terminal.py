"""Show what a command prints, as a terminal would, in an SVG.

    python bench/terminal.py docs/report.svg qama report vectors.npy

What it says on stderr passes by; what it writes to stdout is drawn.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

WIDTH = 92
FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", flags=re.S)  # which a picture would ask others for


def main(path, command):
    """Run a command and draw its stdout into ``path``."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", style="bold"))
    console.print(Text.from_ansi(done.stdout.rstrip()))
    drawn = console.export_svg(
        title="qama", code_format=FONTS.sub("", CONSOLE_SVG_FORMAT), unique_id="terminal"
    )
    Path(path).write_text(drawn)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
