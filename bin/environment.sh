# Sourced by the scripts beside it, which set $root (the checkout) and $me (their own name).
# Makes $root/.venv from the pinned locks, once, and sets $python to its interpreter.

venv=$root/.venv

say() { printf '%s: %s\n' "$me" "$1" >&2; }

stop() {
  say "$1"
  exit "${2:-1}"
}

# The stamp of a lock is the lock itself: it is written last, so a broken-off installation has none.
# Comparing text instead of hashes keeps a warm start free of child processes.
installed() {
  local lock stamp
  [[ -x $venv/bin/python && -r $venv/.python ]] || return 1
  [[ -x $venv/bin/python$(<"$venv/.python") ]] || return 1 # its base was removed or replaced
  for lock in "$@"; do
    stamp=$venv/.$lock
    [[ -r $stamp && $(<"$stamp") == "$(<"$root/$lock")" ]] || return 1
  done
}

find_python() {
  local candidate candidates=(python3 python3.13 python3.12 python3.11 python3.14)
  [[ -n ${CHANNELSIM_PYTHON:-} ]] && candidates=("$CHANNELSIM_PYTHON")
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
  done
  stop "needs Python 3.11 or newer with its venv module (Debian and Ubuntu: apt install python3-venv), \
and found none; set CHANNELSIM_PYTHON to its path if it is not called python3" 2
}

# Without a GPU, torch's CPU build saves gigabytes of download. A machine whose pip is already told
# where packages live is left alone.
cpu_index() {
  local index=https://download.pytorch.org/whl/cpu config
  [[ $(uname -s) == Linux && ! -e /proc/driver/nvidia ]] || return 0
  config=$("$venv/bin/python" -m pip config list 2>/dev/null) || return 0
  [[ $config == *index-url* || $config == *find-links* || $config == *no-index* ]] && return 0
  if "$venv/bin/python" -m pip index versions torch --index-url "$index" --timeout 5 --retries 0 \
    >/dev/null 2>&1; then
    printf -- '--extra-index-url %s' "$index"
  fi
}

install_lock() { # install_lock LOCK
  local lock=$1 log=$venv/install.log total begin=$SECONDS
  total=$(grep -cvE '^ *(#|$)' "$root/$lock")
  rm -f "$venv/.$lock"
  say "installing $total packages from $lock into .venv (once; about a minute, longer to download)"
  # shellcheck disable=SC2046  # two words on purpose
  if ! "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    --no-compile $(cpu_index) -r "$root/$lock" 2>&1 | show_progress "$total" "$log"; then
    tail -n 5 "$log" >&2
    stop "could not install $lock: the reason is above, the full log in .venv/install.log"
  fi
  [[ $lock != requirements.lock ]] || warm_up >>"$log"
  cp "$root/$lock" "$venv/.$lock"
  say "installed in $((SECONDS - begin)) s"
}

show_progress() { # show_progress TOTAL LOG: what pip says into the log; on a terminal, one live line
  local total=$1 log=$2 count=0 line
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ -t 2 ]] || continue
    case $line in
      Collecting* | Requirement\ already*)
        [[ $line == *"-r "* ]] && count=$((count + 1))
        line="$count of $total found"
        ;;
      *Downloading\ *) line="downloading ${line#*Downloading }" ;;
      Installing\ collected*) line="unpacking (the longest part)" ;;
      *) continue ;;
    esac
    printf '\r\033[K%s: %s' "$me" "${line:0:70}" >&2
  done
  [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

# Compiling only what is really imported takes 7 seconds; pip would spend 40 on all there is.
warm_up() {
  PYTHONDONTWRITEBYTECODE='' PYTHONPATH=$root "$venv/bin/python" -W ignore - 2>&1 <<'PYTHON' ||
from channelsim.support.torchvision_shim import ensure_torchvision

ensure_torchvision()
import matplotlib.pyplot, mlxtend.data, pandas, pydantic, safetensors.torch, scipy.special
import rich.console, rich.progress, rich.table, simpy, textual.app, textual.pilot, textual.widgets
import lpips, torch, typer, yaml
PYTHON
    stop "the packages were installed but do not load: see the end of .venv/install.log"
}

make_venv() {
  local base
  if [[ -e $venv && ! -e $venv/.made-by-channelsim ]]; then
    stop "$venv was not made by $me, so it is left alone: remove it, or use it yourself (pip install -e .)" 2
  fi
  base=$(find_python) || exit $?
  rm -rf "$venv"
  mkdir "$venv" 2>/dev/null || stop "cannot write to $root, where its environment .venv belongs"
  : >"$venv/.made-by-channelsim"
  "$base" -m venv "$venv" >"$venv/install.log" 2>&1 || stop "$base -m venv failed: see .venv/install.log"
  "$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$venv/.python"
}

one_at_a_time() { # hold the lock on file descriptor 9 while making the environment
  if ! { exec 9>"$root/.venv.lock"; } 2>/dev/null; then
    stop "cannot write to $root, where its environment .venv belongs"
  fi
  if command -v flock >/dev/null; then
    flock -n 9 && return
    say "another start is making the environment; waiting for it"
    flock 9
    return
  fi
  until mkdir "$root/.venv.lock.d" 2>/dev/null; do # no flock (macOS): a folder is as good
    if ! kill -0 "$(cat "$root/.venv.lock.d/pid" 2>/dev/null)" 2>/dev/null; then
      rm -rf "$root/.venv.lock.d" # its owner is gone
    fi
    sleep 1
  done
  echo $$ >"$root/.venv.lock.d/pid"
}

ensure_environment() { # ensure_environment LOCK…
  local lock site
  if ! installed "$@"; then
    trap 'stop "interrupted before the environment was complete; the next start makes it again" 130' INT TERM
    trap 'rm -rf "$root/.venv.lock.d"' EXIT
    one_at_a_time
    # An update happens in place; what was broken off is made anew, since pip cannot tell.
    if ! installed || ! [[ -e $venv/.requirements.lock ]]; then
      make_venv
    fi
    for lock in "$@"; do
      installed "$lock" || install_lock "$lock"
    done
    rm -rf "$root/.venv.lock.d"
    exec 9>&-
    trap - INT TERM EXIT
  fi
  python=$venv/bin/python
  # The package is found from any directory, also after the checkout has moved.
  site=$venv/lib/python$(<"$venv/.python")/site-packages/channelsim.pth
  [[ -r $site && $(<"$site") == "$root" ]] || printf '%s\n' "$root" >"$site"
}
