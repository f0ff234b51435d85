"""The first start: an environment of its own, made once, despite interruptions.

The scripts of bin/ run for real, in a checkout that holds only them and the locks; Python is a stub
that records requested installations, so that no test installs anything.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]

STAND_IN = r"""#!/usr/bin/env bash
case "$*" in
  "-c import sys, ensurepip"*) ;;
  "-m venv "*)
    mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"
    cp "$0" "$3/bin/python"
    ln -s python "$3/bin/python3.11"
    ;;
  "-c import sys; print"*) echo 3.11 ;;
  "-m pip config list") echo "global.index-url='https://example.org'" ;;
  "-m pip install"*)
    last=${*: -1}
    echo "${last##*/}" >>"$INSTALLED"
    echo "Collecting something"
    sleep "${PIP_SECONDS:-0}"
    exit "${PIP_EXIT:-0}"
    ;;
  "-W ignore -") cat >/dev/null ;;
  "-P -m channelsim"*)
    shift 3
    echo "ran in $PWD: $*"
    ;;
  *) echo "stand-in: $*" >>"$INSTALLED" ;;
esac
"""


class Checkout:
    """A checkout of bin/ and the locks, and the record of its installations."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a check out"  # with spaces on purpose
        (self.root / "bin").mkdir(parents=True)
        for name in ("channelsim", "test", "environment.sh"):
            shutil.copy(ROOT / "bin" / name, self.root / "bin" / name)
        for name in ("requirements.lock", "requirements-dev.lock"):
            shutil.copy(ROOT / name, self.root / name)
        self.record = folder / "installed"
        python = folder / "python-stand-in"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        self.settings = {
            "PATH": os.environ["PATH"],
            "CHANNELSIM_PYTHON": str(python),
            "INSTALLED": str(self.record),
        }

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def installed(self) -> list[str]:
        return self.record.read_text().split("\n")[:-1] if self.record.exists() else []

    def begin(
        self, *words: str | Path, cwd: Path | None = None, **settings: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(word) for word in words or (self.root / "bin" / "channelsim", "list")],
            cwd=cwd,
            env=self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(
        self, *words: str | Path, cwd: Path | None = None, **settings: str
    ) -> tuple[int, str, str]:
        child = self.begin(*words, cwd=cwd, **settings)
        out, err = child.communicate(timeout=PATIENCE_S)
        return child.returncode, out, err


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_installs_the_lock_and_later_ones_begin_at_once(checkout: Checkout) -> None:
    code, out, err = checkout.start()
    assert (code, checkout.installed) == (0, ["requirements.lock"])
    assert out.endswith(": list\n")
    assert "requirements.lock into .venv (once" in err

    code, out, err = checkout.start()
    assert (code, err, checkout.installed) == (0, "", ["requirements.lock"])


def test_it_runs_from_any_directory_and_through_symbolic_links(
    checkout: Checkout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "one").symlink_to(checkout.root / "bin" / "channelsim")
    (elsewhere / "two").symlink_to("one")
    code, out, _ = checkout.start(elsewhere / "two", "run", "a b.yaml", cwd=elsewhere)
    assert (code, out) == (0, f"ran in {elsewhere}: run a b.yaml\n")
    assert checkout.venv.is_dir()


def test_a_moved_checkout_still_finds_its_package(checkout: Checkout, tmp_path: Path) -> None:
    checkout.start()
    moved = tmp_path / "moved"
    checkout.root.rename(moved)
    code, _, err = checkout.start(moved / "bin" / "channelsim")
    assert (code, err, checkout.installed) == (0, "", ["requirements.lock"])
    door = moved / ".venv/lib/python3.11/site-packages/channelsim.pth"
    assert door.read_text() == f"{moved}\n"


def test_a_changed_lock_is_installed_again(checkout: Checkout) -> None:
    checkout.start()
    lock = checkout.root / "requirements.lock"
    lock.write_text(lock.read_text() + "another==1.0\n")
    checkout.start()
    checkout.start()
    assert checkout.installed == ["requirements.lock"] * 2


def test_the_development_tools_come_with_bin_test_only(checkout: Checkout) -> None:
    checkout.start()
    code, _, _ = checkout.start(checkout.root / "bin" / "test", "--slow", "-k", "name")
    assert code == 0
    assert checkout.installed == [
        "requirements.lock",
        "requirements-dev.lock",
        "stand-in: -m ruff check .",
        "stand-in: -m ruff format --check .",
        "stand-in: -m mypy",
        "stand-in: -m pytest -n auto --maxprocesses 4 --dist worksteal --slow -k name",
    ]


def test_what_was_broken_off_is_made_again(checkout: Checkout) -> None:
    for how in (signal.SIGKILL, signal.SIGTERM):
        child = checkout.begin(PIP_SECONDS="20")
        before = len(checkout.installed)
        wait_until(lambda before=before: len(checkout.installed) > before)
        os.killpg(child.pid, how)
        _, err = child.communicate(timeout=PATIENCE_S)
        assert child.returncode != 0
        if how == signal.SIGTERM:
            assert child.returncode == 130
            assert "interrupted before the environment was complete" in err
        (checkout.venv / "half").touch()

    code, _, _ = checkout.start()
    assert code == 0
    assert checkout.installed == ["requirements.lock"] * 3
    assert not (checkout.venv / "half").exists()


def test_two_starts_at_once_install_once(checkout: Checkout) -> None:
    first = checkout.begin(PIP_SECONDS="1.5")
    wait_until(lambda: bool(checkout.installed))
    second = checkout.begin()
    for child in (first, second):
        out, err = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 0
        assert out.endswith(": list\n")
    assert "waiting for it" in err
    assert checkout.installed == ["requirements.lock"]


def test_a_failed_installation_says_so_and_is_tried_again(checkout: Checkout) -> None:
    code, _, err = checkout.start(PIP_EXIT="1")
    assert code == 1
    assert "could not install requirements.lock" in err
    assert ".venv/install.log" in err
    assert checkout.start()[0] == 0


def test_an_environment_of_your_own_is_left_alone(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "mine").touch()
    code, _, err = checkout.start()
    assert code == 2
    assert "was not made by channelsim, so it is left alone" in err
    assert (checkout.venv / "mine").exists()
    assert not checkout.installed


def test_a_missing_python_is_one_clear_sentence(checkout: Checkout) -> None:
    code, out, err = checkout.start(CHANNELSIM_PYTHON="/no/such/python")
    assert (code, out) == (2, "")
    assert err.startswith("channelsim: needs Python 3.11 or newer")
    assert err.count("\n") == 1


def wait_until(happened: object, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


# --- the package's door -------------------------------------------------------------------------


def child(program: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    answer = child("import sys, channelsim; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert answer.stdout == "False False\n", answer.stderr


def test_the_public_names_are_what_they_say_whatever_was_imported_before() -> None:
    answer = child(
        "import channelsim.simulation.event_plane, channelsim.runs.run, channelsim\n"
        "from channelsim.simulation.event_plane import simulate\n"
        "from channelsim import Codec, Run, Scenario, run\n"
        "assert channelsim.simulate is simulate and callable(simulate)\n"
        "assert channelsim.run is channelsim.runs.run.run is run\n"
        "assert set(channelsim.__all__) <= set(dir(channelsim))\n"
        "try:\n    channelsim.smulate\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    assert answer.stdout == "module 'channelsim' has no attribute 'smulate'\n", answer.stderr


def test_torchmetrics_and_lpips_load_beside_any_build_of_torch() -> None:
    answer = child(
        "from channelsim.support.torchvision_shim import ensure_torchvision\n"
        "ensure_torchvision()\n"
        "ensure_torchvision()\n"
        "import lpips, torchmetrics.image, torchvision.models, torchvision.datasets\n"
        "print(torchmetrics.image.StructuralSimilarityIndexMeasure.__name__)\n"
    )
    assert answer.stdout == "StructuralSimilarityIndexMeasure\n", answer.stderr


@pytest.mark.parametrize(
    ("vision", "expected"),
    [
        ("raise RuntimeError('another trouble')", "another trouble False\n"),
        ("raise ImportError('not there')", "not there False\n"),
        ("", "loaded False\n"),
    ],
)
def test_the_shim_stays_out_of_the_way_of_everything_else(
    tmp_path: Path, vision: str, expected: str
) -> None:
    (tmp_path / "torchvision.py").write_text(vision)
    answer = child(
        "import sys\n"
        "from channelsim.support.torchvision_shim import ensure_torchvision\n"
        "try:\n    ensure_torchvision()\n    said = 'loaded'\n"
        "except Exception as error:\n    said = error\n"
        "print(said, 'torch' in sys.modules)\n",
        tmp_path,
    )
    assert answer.stdout == expected, answer.stderr
