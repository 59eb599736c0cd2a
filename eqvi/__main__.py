"""The command line: ``python -m eqvi COMMAND``. Each command is a module with `add_arguments` and `run`."""

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from eqvi.devices import keep_memory, share_cores
from eqvi.errors import InputError, interruption_status, terminable
from eqvi.files import write_failure

#: The commands, each a module of `eqvi.cli`, and their purposes.
COMMANDS = {
    "interpolate": "a clip or video in, a clip or video with more frames out",
    "site": "the whole study as a folder of web pages",
    "film": "real motion as a looping picture and a strip, in new frames alone",
    "evaluate": "leave frames out of clips, put them back, measure how close they come",
    "camera": "the paths of clips' cameras as numbers, for the notebooks on trajectories",
    "train": "carry out a stage of training, or go on with one",
    "pictures": "gather photographs and cut-outs that training windows show, from Debian's packages",
    "windows": "render training windows into a pool on disk, ahead of a run that reads it",
    "difficulty": "how hard rendered training windows are beside real clips, measured alike",
    "ship": "keep a finished training run's weights and record in the project",
    "bench": "speed and memory, beside the published schedule of flow calls",
    "gpu": "all that a GPU has to answer, in one call of nine minutes",
    "render": "make clips whose motion is known, laid out like REDS_VTSR",
    "download": "fetch REDS_VTSR or published weights, or take them from files and mirrors",
    "study": "run the study's notebooks",
    "lab": "open the notebooks in JupyterLab; what it saves stays out of them",
    "readme": "write the generated parts of README.md anew",
    "doctor": "say what is installed, which devices and weights are here, and what is missing",
}


# Failures of a place that a user has named, wherever they are met.
_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for a mistake of the user's, 130 if interrupted, 143 after
    SIGTERM, 141 if nobody reads the output."""
    try:
        return _carry_out(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:  # whoever read the output has closed it, as `| head` does
        _silence()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"eqvi: error: {str(error.filename)[:60]}...: is too long for a file's name", file=sys.stderr)
            return 2
        if error.errno in _PLACES and error.filename is not None:
            print(f"eqvi: error: {error.filename}: {write_failure(error)}", file=sys.stderr)
            return 2
        if error.errno != errno.ENOSPC:
            raise
        _silence()
        print(f"eqvi: error: the output cannot be written: {write_failure(error)}", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"eqvi: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        print("eqvi: interrupted", file=sys.stderr)
        return interruption_status(interruption)


@terminable()
def _carry_out(argv: list[str]) -> int:
    share_cores()
    parser = argparse.ArgumentParser(prog="eqvi", description="EQVI, enhanced quadratic video interpolation.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        # Only the command that was asked for is imported: the others' imports take time.
        command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
        if name in argv[:1]:
            module = import_module(f"eqvi.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    try:
        args = parser.parse_args(argv)
    except SystemExit:
        sys.stdout.flush()  # of --help
        raise
    if args.command is None:
        parser.print_help()
        return 0
    # Names that are no UTF-8 can be printed.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    keep_memory()
    status = args.run(args)
    sys.stdout.flush()  # here, so that its failure is said below
    return status


def _silence() -> None:
    """Send what is still to be printed nowhere: Python would complain of it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
