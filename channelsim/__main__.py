"""Entry point of ``python -m channelsim``."""

from channelsim.cli import main

main()
