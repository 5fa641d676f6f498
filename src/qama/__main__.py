"""`python -m qama`."""

from qama.cli.main import app

app()
