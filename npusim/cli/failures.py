"""How a command ends: 0, 2 with one line on a user's mistake, 1 on a failure of npusim's own, 130 when interrupted.

A command that is terminated (SIGTERM, SIGHUP) unwinds like one that is interrupted: it leaves no draft and no worker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

import click

from npusim.cli.output import say
from npusim.cli.signals import Ended, ended_by_signals
from npusim.errors import UserError, one_printable_line

SUCCESS, FAILURE, MISTAKE, INTERRUPTED = 0, 1, 2, 130
_SIGNALLED = 128
"""What shells add to the number of the signal that ended a process."""
DEBUG_VARIABLE = "NPUSIM_DEBUG"


def exit_code(action: Callable[[], object]) -> int:
    """Runs `action` and returns the exit code, with what went wrong on stderr."""
    try:
        with _one_line_warnings(), ended_by_signals():
            action()
            sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except UserError as mistake:
        return _mistake(str(mistake))
    except click.ClickException as mistake:
        return _mistake(_usage_text(mistake))
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except Ended as end:
        say(f"ended by {end}")
        return _SIGNALLED + end.number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as failure:
        return _no_room(failure) if failure.errno in (errno.ENOSPC, errno.EDQUOT) else _own_failure(failure)
    except Exception as failure:
        return _own_failure(failure)
    return SUCCESS


def _mistake(text: str) -> int:
    say(f"error: {_one_line(text)}")
    return MISTAKE


def _no_room(failure: OSError) -> int:
    say(f"error: {failure.filename or 'a file'}: cannot be written ({failure.strerror}); free some space")
    return FAILURE


def _own_failure(failure: Exception) -> int:
    say(f"failure: npusim itself failed: {type(failure).__name__}: {_one_line(str(failure))}")
    if os.environ.get(DEBUG_VARIABLE):
        say("".join(traceback.format_exception(failure)).rstrip())
    else:
        say(f"this should not happen; run it again with {DEBUG_VARIABLE}=1 and report the traceback")
    return FAILURE


def _usage_text(mistake: click.ClickException) -> str:
    """location: message; mend, from click's own errors."""
    context = mistake.ctx if isinstance(mistake, click.UsageError) else None
    command = context.command_path if context is not None else "npusim"
    message = one_printable_line(mistake.format_message()).rstrip(".")
    location = command
    if isinstance(mistake, click.NoSuchOption):
        location = mistake.option_name
    elif isinstance(mistake, click.BadParameter) and mistake.param is not None:
        location = _parameter_name(mistake.param)
        missing = isinstance(mistake, click.MissingParameter)
        message = _missing_text(mistake.param) if missing else one_printable_line(mistake.message).rstrip(".")
    return f"{location}: {message}; see {command} --help"


def _parameter_name(parameter: click.Parameter) -> str:
    return parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name


def _missing_text(parameter: click.Parameter) -> str:
    if isinstance(parameter.type, click.Choice):
        return f"is missing; add one of {', '.join(parameter.type.choices)}"
    return "is missing; add it"


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextlib.contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_rest, **_more: say(f"warning: {_one_line(str(message))}")
        yield
