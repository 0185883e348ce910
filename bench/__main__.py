"""All programs of the kit under one name: ``federated-bench``, or ``python -m bench``."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from bench import cli
from bench.measure import environment

PROGRAMS = {
    "run": "run a suite and write a result folder with its report",
    "compare": "say what differs significantly between runs",
    "report": "write the report of a run again",
    "predict": "predict an epoch for other rows, features, parties and networks",
    "serve": "serve a model of a run over HTTP",
    "load": "put a served model or a FATE Flow under load",
}
EXAMPLES = """\
examples:
  federated-bench run --repeats 1
  federated-bench run --data cases.csv --label ill
  federated-bench report results/20260102-030405-quick --lang zh
  federated-bench run --help
  source <(federated-bench completion bash)      Tab completes; also zsh and tcsh
"""


class Program(Protocol):
    """What each program's module has."""

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of its command line."""

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run it; return the exit status."""


def load(name: str) -> Program:
    """Import a program: only the one that was asked for, since some take seconds."""
    return cast(Program, import_module(f"bench.{name}.__main__"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program that the command line names; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in PROGRAMS:
        return load(words[0]).main(words[1:])
    chosen = _parser(with_options=words[:1] == ["completion"]).parse_args(words)
    return cli.exit_status(lambda: _print_completion(chosen.shell) if chosen.command == "completion" else _version())


def _parser(with_options: bool) -> argparse.ArgumentParser:
    """Return the parser of all programs; ``with_options``: with theirs, which takes a while."""
    made = argparse.ArgumentParser(
        prog=cli.COMMAND,
        description="Measure what federated logistic regression costs against centralised training.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in PROGRAMS.items():
        commands.add_parser(
            name, help=text, parents=[load(name).parser()] if with_options else [], add_help=not with_options
        )
    commands.add_parser("version", help="print the version of the kit and of Python")
    completion = commands.add_parser("completion", help="print a script for a shell that completes commands")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return made


def _version() -> None:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{cli.COMMAND} {environment.version_of(cli.COMMAND) or 'of an unknown version'}, {python}")


def _print_completion(shell: str) -> None:
    import shtab  # for this command only

    print(shtab.complete(_parser(with_options=True), shell))


if __name__ == "__main__":
    sys.exit(main())
