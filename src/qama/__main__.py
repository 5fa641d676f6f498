"""`python -m qama`."""

from qama.cli.main import app

app(prog_name="qama")
