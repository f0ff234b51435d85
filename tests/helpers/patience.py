"""The longest time that a test waits for an event."""

from __future__ import annotations

# Only a hang lasts so long: two seconds on an idle machine become a minute with six other busy
# processes. Tests wait no longer than needed.
PATIENCE_S = 300.0
