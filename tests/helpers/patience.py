"""How long a test waits for what must happen before it calls it broken."""

from __future__ import annotations

# Only a hang lasts so long: what takes two seconds on an idle machine takes a minute on one that
# six other processes keep busy. Nothing ever waits longer than it must.
PATIENCE_S = 300.0
