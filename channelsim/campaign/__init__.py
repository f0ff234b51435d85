"""Running a scenario into a folder, and going on where an earlier run was interrupted."""

from channelsim.campaign.campaign import Run, run

__all__ = ["Run", "run"]
