"""The command `polyrank`: a table of commands, each loaded when it is called.

`polyrank --help` prints from the table alone, so it starts in a fraction of a second although
some commands import torch or Flower. A mistake of the user is one line on stderr,
`error: what, where; what to do`, with exit code 1, or 2 when the command line itself is wrong.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import click
import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class Entry:
    """Where one command lives (`module:attribute`, below this package) and its line of help.

    `extra` names the optional part of the installation that the command needs.
    """

    target: str
    help: str
    extra: str = ""


COMMANDS: dict[str, Entry] = {
    "up": Entry(
        "._cli_up:up", "Run the coordinator daemon: SuperLink, rounds and registry.", "coordinator"
    ),
    "node": Entry("._cli_node:node", "Run one node of a federation from a TOML file.", "client"),
    "demo": Entry(
        "._cli_demo:demo", "Run a whole federation on this machine, on real data.", "demo"
    ),
    "simulate": Entry(
        "._cli_simulate:simulate",
        "Run a daemon's rounds with its nodes in one process, without servers.",
        "client,coordinator",
    ),
    "registry": Entry("._cli_registry:app", "Query adapter versions; promote, roll back, export."),
    "report": Entry("._cli_report:report", "Write an HTML page on families of adapters."),
    "status": Entry("._cli_status:status", "Show the daemon's adapters, nodes and open rounds."),
    "doctor": Entry("._cli_doctor:doctor", "Check this machine and the registry, with advice."),
}

# A class counts as ours by the root of its tree. Comparing names keeps the roots unimported: an
# error can only be raised by a package that is already loaded.
_ERROR_ROOTS = frozenset({"StoreError", "AdapterError", "ClientError", "CoordinatorError"})
_EXIT_FAILURE = 1
_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130


class LazyCommand(click.Command):
    """A command known by name and help line; its code is imported when it is called."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help)
        self._entry = entry

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Load the real command and parse the arguments with it (click's entry to a command)."""
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def load(self) -> click.Command:
        """Import the command's module and return the command."""
        module, _, attribute = self._entry.target.partition(":")
        try:
            found: object = getattr(importlib.import_module(module, __package__), attribute)
        except ModuleNotFoundError as error:
            raise self._not_installed(error) from error
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
        else:
            holder = typer.Typer(add_completion=False)
            holder.command()(cast("Callable[..., None]", found))
            command = typer.main.get_command(holder)
        command.name = self.name
        return command

    def _not_installed(self, error: ModuleNotFoundError) -> Exception:
        package = (error.name or "").partition(".")[0]
        if package in ("", "polyrank") or not self._entry.extra:
            return error
        return click.ClickException(
            f"'polyrank {self.name}' needs the package '{package}', which is not installed; "
            f"run: pip install 'polyrank[{self._entry.extra}]'"
        )


def root() -> TyperGroup:
    """Return the root command with every command of `COMMANDS` in it, none of them loaded."""
    return TyperGroup(
        name="polyrank",
        help="Federated and continual adaptation: LoRA adapters of unequal rank, trained together.",
        commands={name: LazyCommand(name, entry) for name, entry in COMMANDS.items()},
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        suggest_commands=False,  # click suggests by itself; typer would say it twice
    )


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    sys.exit(_run(list(sys.argv[1:] if argv is None else argv)))


def _run(argv: list[str]) -> int:
    try:
        code: object = root().main(argv, prog_name="polyrank", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.message)
        return _EXIT_USAGE
    except click.UsageError as error:
        return _fail(_usage(error), _EXIT_USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _EXIT_FAILURE
    except Exception as error:
        if not is_user_error(error):
            raise
        code = getattr(error, "exit_code", _EXIT_FAILURE)
        return _fail(str(error), code if isinstance(code, int) else _EXIT_FAILURE)
    return code if isinstance(code, int) else 0


def is_user_error(error: BaseException) -> bool:
    """Say whether an exception belongs to one of polyrank's error trees (it explains itself)."""
    return any(
        base.__name__ in _ERROR_ROOTS and base.__module__.startswith("polyrank.")
        for base in type(error).__mro__
    )


def _usage(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx is not None else "polyrank"
    return f"{error.format_message().rstrip('.')}; see '{where} --help'"


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"error: {line}", err=True)
    return code


def _silence_stdout() -> None:
    # The reader of our pipe is gone (`… | head`): without this, Python complains at exit when
    # it flushes what is left.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
