"""Error messages: one sentence on standard error, and an exit code.

0 done, 1 the machine's fault (a full disk, a bug), 2 the user's input, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from channelsim import __version__
from channelsim.cli import early
from channelsim.display import streams
from channelsim.support.errors import ChannelsimError, cut, printable

DONE, MACHINE, USER, INTERRUPTED = 0, 1, 2, 130

_FULL = (errno.ENOSPC, errno.EDQUOT)
# A missing file, one without permission, or an impossible name.
_NAMED_WRONG = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY,
)  # fmt: skip


def guarded(body: Callable[[], None], log_folder: Path | None = None) -> int:
    """Run a command's body and return its exit code, having printed any error.

    ``log_folder``: for the log of a bug if it exists by then, else the user's temp folder.
    """
    _listen()
    try:
        body()
        sys.stdout.flush()
    except BrokenPipeError:
        streams.forget(sys.stdout)  # the reader has left (`… | head`)
    except ChannelsimError as error:
        return say(error.message, error.exit_code)
    except KeyboardInterrupt:
        return say("Interrupted.", INTERRUPTED)
    except SystemExit:  # not raised by this program
        return say("Code that the scenario names ended the program; remove exit() from it.", USER)
    except MemoryError:
        return say("Out of memory: try a smaller block_rows or fewer messages.", MACHINE)
    except Exception as error:
        if _interrupted(error):
            return say("Interrupted.", INTERRUPTED)
        return _unforeseen(error, log_folder)
    return DONE


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is the cause: compiled modules turn it into an ImportError while they load."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unforeseen(error: Exception, log_folder: Path | None) -> int:
    if (isinstance(error, OSError) and error.errno in _FULL) or _database_is_full(error):
        return say("The disk is full: free some space and go on with --resume.", MACHINE)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        code = USER if error.errno in _NAMED_WRONG else MACHINE
        return say(cut(f"{error.filename}: {error.strerror}."), code)
    try:
        where = f"the full log is in {_write_log(error, log_folder)}"
    except OSError:
        where = "its log could not be written:\n" + "".join(traceback.format_exception(error))
    what = str(error).split("\n")[0][:200] or "no message"
    return say(f"A bug in channelsim ({type(error).__name__}: {what}); {where}", MACHINE)


def _database_is_full(error: Exception) -> bool:
    import sqlite3

    full = "database or disk is full"
    return isinstance(error, sqlite3.OperationalError) and str(error) == full


def _write_log(error: Exception, folder: Path | None) -> Path:
    if folder is not None and os.access(folder, os.W_OK) and folder.is_dir():
        path = folder / "channelsim-error.log"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    else:
        handle, name = tempfile.mkstemp(prefix="channelsim-", suffix=".log")
        path = Path(name)
    with os.fdopen(handle, "a", encoding="utf-8") as log:
        log.write(f"channelsim {__version__}, Python {sys.version}\n")
        log.write(f"arguments: {sys.argv[1:]}\n\n")
        log.writelines(traceback.format_exception(error))
    return path


def say(sentence: str, code: int) -> int:
    """Write a sentence to standard error, after what standard output still holds; return ``code``.

    Neither a full disk nor a reader that left suppresses the sentence or the code. It may quote
    foreign names and texts: these are escaped, only its own line breaks stay.
    """
    shown = "".join(printable(line) + "\n" for line in sentence.rstrip("\n").split("\n"))
    for stream, text in ((sys.stdout, ""), (sys.stderr, shown)):
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            streams.forget(stream)
    return code


def _listen() -> None:
    """Make SIGTERM act like Ctrl-C, by its handler at that time, and Ctrl-C an exception."""

    def as_interrupt(number: int, frame: FrameType | None) -> None:
        listener = signal.getsignal(signal.SIGINT)
        if callable(listener):
            listener(number, frame)
        else:  # started in the background of a shell, where Ctrl-C is ignored
            _interrupt()

    signal.signal(signal.SIGTERM, as_interrupt)
    early.over()


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
