"""Commands, options and their help; the work is in the modules beside this one.

Nothing here imports torch or pydantic, so that ``--help`` is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from channelsim import __version__
from channelsim.cli import usage
from channelsim.cli.faults import DONE, INTERRUPTED, guarded, say

app = typer.Typer(
    name="channelsim",
    help="What happens to a learned codec when somebody else can touch its channel.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # typer shows the subclass, not the class


def _one_of(*words: str) -> Callable[[], list[str]]:
    """Values that a shell may complete; which are allowed is decided where they are used."""
    return lambda: list(words)


KINDS = (
    *("sources", "arrivals", "codecs", "channels", "adversaries", "link", "power"),
    *("receivers", "detectors", "metrics", "zoo", "recipes"),
)

Scenario = Annotated[str, typer.Argument(help="A scenario file (.yaml).", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a dotted key; may be repeated."),
]
Seed = Annotated[int | None, typer.Option(help="Seed instead of the scenario's.")]
DataRoot = Annotated[
    Path | None, typer.Option(help="Where data sets are, instead of CHANNELSIM_DATA.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="What computes: cpu, cuda, cuda:N, or auto, a GPU where there is one.",
        metavar="NAME",
        autocompletion=_one_of("auto", "cpu", "cuda"),
    ),
]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Run code that the ledger names, without asking.")
]


def answer(arguments: list[str]) -> int:
    """Carry out a command line; return the exit code."""
    try:
        code = app(usage.spread_set(arguments), prog_name="channelsim", standalone_mode=False)
    except _USAGE_ERROR as error:
        return usage.explain(error)
    except (typer.Abort, KeyboardInterrupt):
        return say("Interrupted.", INTERRUPTED)
    except SystemExit:  # raised by Rich when a reader leaves the help
        return DONE
    return code if isinstance(code, int) else DONE


def _do(module: str, work: str, log_folder: Path | None = None, **options: Any) -> None:
    """Load a command's module and do its work; leave with its exit code."""

    def body() -> None:
        command: Callable[..., None] = getattr(import_module(f"channelsim.cli.{module}"), work)
        command(**options)

    raise typer.Exit(guarded(body, log_folder))


def _settings(given: list[str] | None, device: str | None) -> list[str]:
    return [*(given or []), *([] if device is None else [f"device={device}"])]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"channelsim {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  typer calls _version
        bool, typer.Option("--version", help="Say which version this is.", callback=_version)
    ] = False,
) -> None:
    """Show the help where no command was given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder; without it runs/demo-N.", metavar="DIR")
    ] = None,
) -> None:
    """See it work: a small study of seconds that ends in a picture and a sentence.

    [dim]Example:[/] channelsim demo
    """
    _do("demo", "demo", out, out=out)


@app.command()
def run(
    scenario: Scenario,
    set_: Settings = None,
    seed: Seed = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; without it runs/SCENARIO-SEED-N.", metavar="DIR"),
    ] = None,
    data_root: DataRoot = None,
    device: Device = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Watch it in a full-screen view; q leaves the view, Ctrl-C stops the run.",
        ),
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text (the default).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only where the run is.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Say what is decided before the first message."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")
    ] = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Resume what another kind of machine began.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that compute, of one thread each; without it this one alone.",
            metavar="N",
            min=1,
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="Compute the K-th of N shares of the arms; merge puts them together.",
            metavar="K/N",
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            help="Have the workers of a Dask scheduler compute; its address, or its file.",
            metavar="ADDRESS",
        ),
    ] = None,
    folder_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Simulate a scenario and write its ledger.

    [dim]Example:[/] channelsim run scenarios/black_target.yaml --set source.count=100 --out tried
    """
    chosen = [name for name, on in (("--live", live), ("--plain", plain), ("--quiet", quiet)) if on]
    if verbose:
        chosen += ["--verbose"] if live or quiet else []
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other")
    if live:
        _do(
            "running", "run_live", out,
            scenario=scenario, settings=_settings(set_, device), seed=seed, out=out,
            data_root=data_root, resume=resume, mixed=mixed, workers=workers or 0, part=part,
            dask=dask,
        )  # fmt: skip
    _do(
        "running", "run", out,
        scenario=scenario, settings=_settings(set_, device), seed=seed, out=out,
        data_root=data_root, quiet=quiet, verbose=verbose, resume=resume, mixed=mixed,
        workers=workers or 0, part=part, dask=dask, folder_file=folder_file,
    )  # fmt: skip


@app.command()
def merge(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of the run's parts.", metavar="RUN...")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the whole.", metavar="DIR")],
) -> None:
    """Put the parts of a run together (see run --part); equal rows enter once.

    [dim]Example:[/] channelsim merge runs/part-1 runs/part-2 --out runs/whole
    """
    _do("merging", "merge", None, runs=runs, out=out)


@app.command()
def summary(
    run: Folder,
    metric: Annotated[
        str | None, typer.Option(help="Of the table; without it the primary one.", metavar="M")
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="What images are compared with: source, clean, passive or target.",
            metavar="R",
            autocompletion=_one_of("source", "clean", "passive", "target"),
        ),
    ] = "source",
    full: Annotated[bool, typer.Option("--full", help="All tables and findings.")] = False,
) -> None:
    """Say what a run found: who serves the user best, and whether the adversary succeeded.

    [dim]Example:[/] channelsim summary runs/black_target-7-1 --full
    """
    _do("summing_up", "summary", folder=run, metric=metric, against=against, full=full)


@app.command()
def watch(
    run: Folder,
    data_root: DataRoot = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Write a picture of the screen there.", metavar="FILE"),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Size of that picture.", metavar="COLUMNSxROWS")
    ] = "160x50",
    press: Annotated[
        str, typer.Option(help="Keys to press before it, e.g. w,i.", metavar="KEYS")
    ] = "",
    allow_code: AllowCode = False,
) -> None:
    """See a run as it happens, or play back one that is over; leaving never touches it.

    [dim]Example:[/] channelsim watch runs/black_target-7-1
    """
    _do(
        "watching", "watch",
        folder=run, data_root=data_root, svg=svg, size=size, press=press, allow_code=allow_code,
    )  # fmt: skip


@app.command()
def check(
    scenario: Scenario,
    set_: Settings = None,
    seed: Seed = None,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Try one message per arm, then estimate the time and size of a run.

    [dim]Example:[/] channelsim check scenarios/black_target.yaml
    """
    _do(
        "checking", "check",
        scenario=scenario, settings=_settings(set_, device), seed=seed, data_root=data_root,
    )  # fmt: skip


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Only these parts, e.g. adversaries.",
            metavar="[KIND]",
            autocompletion=_one_of(*KINDS),
        ),
    ] = None,
) -> None:
    """List the parts a scenario may name, with what each one takes.

    [dim]Example:[/] channelsim list adversaries
    """
    _do("reading", "list_parts", kind=kind)


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors.

    [dim]Example:[/] channelsim schema > scenario.schema.json
    """
    _do("reading", "schema")


@app.command()
def train(
    recipes: Annotated[
        list[str],
        typer.Argument(help="Recipe files (.yaml).", show_default=False, metavar="RECIPE..."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the result, or of several; without it runs/train-RECIPE.",
            metavar="DIR",
        ),
    ] = None,
    data_root: DataRoot = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipe's.")] = None,
    seeds: Annotated[
        int,
        typer.Option(
            help="Train so many further seeds; the card then tells how its figures spread.",
            metavar="N",
            min=0,
        ),
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Train so many at a time, each with one thread; without it one after the other.",
            metavar="N",
            min=1,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only where the codec is.")] = False,
) -> None:
    """Train codecs from their recipes; started again, it goes on where it was interrupted.

    [dim]Example:[/] channelsim train recipe.yaml --out runs/my-vae
    """
    _do(
        "training", "train", out,
        recipes=recipes, out=out, data_root=data_root, seed=seed, seeds=seeds, workers=workers or 0,
        quiet=quiet,
    )  # fmt: skip


@app.command()
def zoo(
    remake: Annotated[
        bool, typer.Option("--remake", help="Train all of it again, which takes an hour or two.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Remake only this one; may be repeated.", metavar="NAME"),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put what was remade in the place of the shipped.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="How many trainings at a time.", min=1)] = 2,
    out: Annotated[
        Path, typer.Option(help="Folder of the trainings, which go on from there.", metavar="DIR")
    ] = Path("runs/zoo"),
    data_root: DataRoot = None,
) -> None:
    """Show the trained codecs that ship with the program, or make them again.

    [dim]Example:[/] channelsim zoo --remake --data-root data
    """
    _do(
        "zoo_command", "zoo",
        remake=remake, only=only or [], install=install, jobs=jobs, out=out, data_root=data_root,
    )  # fmt: skip


@app.command()
def download(
    name: Annotated[
        str,
        typer.Argument(
            help="mnist, fashion-mnist or cifar10.",
            metavar="NAME",
            show_default=False,
            autocompletion=_one_of("mnist", "fashion-mnist", "cifar10"),
        ),
    ],
    data_root: DataRoot = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only where the files are.")] = False,
) -> None:
    """Fetch a data set into the data root, checked against its official checksum.

    [dim]Example:[/] channelsim download mnist --data-root data
    """
    _do("downloading", "download", name=name, data_root=data_root, quiet=quiet)


@app.command()
def replay(
    run: Folder,
    transmission: Annotated[
        int, typer.Option(help="Number of the transmission, as in its table.", min=0)
    ],
    attempt: Annotated[
        int | None, typer.Option(help="Which attempt, counted from 0; without it, the last.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write its pictures there (.png).", metavar="PNG")
    ] = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
) -> None:
    """Compute one transmission again and compare it with the ledger.

    [dim]Example:[/] channelsim replay runs/black_target-7-1 --transmission 42 --out 42.png
    """
    _do(
        "reading", "replay",
        folder=run, transmission=transmission, attempt=attempt, out=out, data_root=data_root,
        allow_code=allow_code,
    )  # fmt: skip


@app.command()
def population(
    run: Folder,
    figure: Annotated[
        str,
        typer.Option(
            help="fdd, or fid where Inception's weights are.",
            metavar="NAME",
            autocompletion=_one_of("fdd", "fid"),
        ),
    ] = "fdd",
    weights: Annotated[
        Path | None, typer.Option(help="Other weights of the feature network.", metavar="FILE")
    ] = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
) -> None:
    """Compute a finished run again and tell how its images are distributed, arm by arm.

    [dim]Example:[/] channelsim population runs/black_target-7-1
    """
    _do(
        "population_command", "population",
        folder=run, figure=figure, weights=weights, data_root=data_root, allow_code=allow_code,
    )  # fmt: skip


@app.command()
def export(
    run: Folder,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, jsonl or parquet.",
            metavar="FORMAT",
            autocompletion=_one_of("csv", "jsonl", "parquet"),
        ),
    ] = "csv",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; without it, standard output.", metavar="FILE"),
    ] = None,
) -> None:
    """Write a run's table, one row per transmission.

    [dim]Example:[/] channelsim export runs/black_target-7-1 --format csv --out table.csv
    """
    _do("reading", "export", folder=run, format_=format_, out=out)
