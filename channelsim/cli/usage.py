"""Command-line arguments, and one clear sentence where they are wrong."""

from __future__ import annotations

import re
from typing import Any

from channelsim.cli.faults import USER, say
from channelsim.support.errors import cut, did_you_mean

_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.\[\]-]*=")


def spread_set(arguments: list[str]) -> list[str]:
    """Let ``--set`` take several: ``--set a=1 b=2`` becomes ``--set a=1 --set b=2``."""
    spread: list[str] = []
    setting = False
    for argument in arguments:
        if setting and _ASSIGNMENT.match(argument) and spread[-1] != "--set":
            spread.append("--set")
        elif argument != "--set" and not (setting and spread[-1] == "--set"):
            setting = False
        setting = setting or argument == "--set"
        spread.append(argument)
    return spread


def explain(error: Any) -> int:
    """Print a command line's error (raised by typer), and return the exit code."""
    context = error.ctx
    place = context.command_path if context is not None else "channelsim"
    sentence = _sentence(error, context)
    return say(cut(f"{place}: {sentence} ({place} --help shows what it takes.)"), USER)


def _sentence(error: Any, context: Any) -> str:
    given = getattr(error, "option_name", None)
    if given is not None and type(error).__name__ == "NoSuchOption":
        known = [name for param in context.command.params for name in param.opts]
        return f"there is no option {given}.{did_you_mean(given, [*known, '--help'])}"
    message = str(error.format_message()).strip()
    unknown = re.match(r"No such command '([^']*)'", message)
    if unknown:
        commands = sorted(context.command.commands)
        hint = did_you_mean(unknown[1], commands)
        return f"there is no command {unknown[1]!r} (known: {', '.join(commands)}).{hint}"
    message = " ".join(message.split())
    sentence = message[:1].lower() + message[1:]
    return sentence if sentence.endswith(".") else sentence + "."
