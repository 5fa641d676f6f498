"""`qama`: every command in one place; each module adds its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import qama
from qama.cli import (
    codes,
    doctoring,
    evaluation,
    exporting,
    fitting,
    inspecting,
    measuring,
    operating,
    reporting,
    serving,
    showing,
    trust,
)
from qama.console import shown


class Commands(TyperGroup):
    """The commands; what is said of wrong arguments is shown as all else is."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the arguments before the command's name."""
        try:
            return super().make_context(*args, **kwargs)
        except Exception as error:
            _escape(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Read the command's arguments and run it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            _escape(error)
            raise


app = typer.Typer(
    cls=Commands,
    help="Make any embedding 20 to 100 times smaller and search it faster.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


def _escape(error: Exception) -> None:
    """Make the message of a usage error one that may be printed."""
    message = getattr(error, "message", None)
    if isinstance(message, str):
        error.message = shown(message)  # type: ignore[attr-defined]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(qama.__version__)
        raise typer.Exit


_WAY = """\
Make any embedding 20 to 100 times smaller and search it faster.

  qama report vectors.npy                                  what would codes keep of your ranking?
  qama fit vectors.npy -o my.codec                         learn codes from your vectors
  qama index my.codec vectors.npy -o my.index --nbytes 48  encode them into an index
  qama search my.index queries.npy -k 10                   find the nearest rows of each query

qama --help lists every command, qama COMMAND --help what it takes.
qama demo shows the whole job on real text.\
"""


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(_WAY)


app.command()(fitting.fit)
app.command()(fitting.base)
app.command()(codes.encode)
app.command()(codes.index)
app.command()(codes.search)
app.command()(exporting.export)
app.command(name="eval")(evaluation.evaluate)
app.command()(inspecting.inspect)
app.command()(reporting.report)
app.command()(serving.serve)
app.command()(serving.mcp)
app.command()(trust.verify)
app.command()(trust.repair)
app.command()(operating.backup)
app.command()(operating.restore)
app.command()(operating.replicate)
app.command()(operating.shard)
app.command()(doctoring.doctor)
app.command()(measuring.plan)
app.command()(measuring.bench)
app.command()(showing.demo)
