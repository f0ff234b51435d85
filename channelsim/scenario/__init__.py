"""Scenarios: YAML → everything a run needs, frozen and validated, or one error with all faults."""

from channelsim.scenario.arm import Arm
from channelsim.scenario.scenario import Scenario, parse_value
from channelsim.scenario.schema import schema

__all__ = ["Arm", "Scenario", "parse_value", "schema"]
