"""How things that go wrong are said: one sentence on standard error, and an exit code.

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
from channelsim.errors import ChannelsimError, printable

DONE, MACHINE, USER, INTERRUPTED = 0, 1, 2, 130

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Names that the user gave: of what may not be touched, of what is none, of what is gone again.
_NAMED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT),
)


def guarded(body: Callable[[], None], log_folder: Path | None = None) -> int:
    """Run a command's body and return its exit code, having said what went wrong.

    ``log_folder``: where the log of a bug goes if it exists by then, else the user's temp folder.
    """
    _listen()
    try:
        body()
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()  # the reader has what it wanted (`… | head`)
    except ChannelsimError as error:
        return _say(error.message, error.exit_code)
    except KeyboardInterrupt:
        return _say("Interrupted.", INTERRUPTED)
    except MemoryError:
        return _say("Out of memory: try a smaller block_rows or fewer messages.", MACHINE)
    except Exception as error:
        return _unforeseen(error, log_folder)
    return DONE


def _unforeseen(error: Exception, log_folder: Path | None) -> int:
    if (isinstance(error, OSError) and error.errno in _FULL) or _database_is_full(error):
        return _say("The disk is full: free some space and go on with --resume.", MACHINE)
    if isinstance(error, OSError) and error.errno in _NAMED and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return _say(f"{_cut(str(name))}: {error.strerror}.", USER)
    try:
        where = f"the full log is in {_write_log(error, log_folder)}"
    except OSError:
        where = "its log could not be written:\n" + "".join(traceback.format_exception(error))
    what = str(error).split("\n")[0] or "no message"
    return _say(f"A bug in channelsim ({type(error).__name__}: {what}); {where}", MACHINE)


def _cut(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:90]}…{name[-90:]} ({len(name):,} characters)"


def _database_is_full(error: Exception) -> bool:
    import sqlite3

    full = "database or disk is full"
    return isinstance(error, sqlite3.OperationalError) and str(error) == full


def _write_log(error: Exception, folder: Path | None) -> Path:
    if folder is not None and folder.is_dir() and os.access(folder, os.W_OK):
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


def _say(sentence: str, code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    # A sentence quotes what is wrong: names and texts of anybody's. Its own lines stay.
    sys.stderr.writelines(printable(line) + "\n" for line in sentence.rstrip("\n").split("\n"))
    return code


def _forget_stdout() -> None:
    # Python flushes standard output once more on its way out.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _listen() -> None:
    """Make SIGTERM act like Ctrl-C, whoever listens to Ctrl-C by then."""

    def as_interrupt(number: int, frame: FrameType | None) -> None:
        listener = signal.getsignal(signal.SIGINT)
        if callable(listener):
            listener(number, frame)
        else:  # started in the background of a shell, where Ctrl-C is ignored
            _interrupt()

    signal.signal(signal.SIGTERM, as_interrupt)


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt
