"""What everything else stands on: errors, units, seeds, files, and how all of it is checked."""
