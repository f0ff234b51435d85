"""What a scenario may name: tables of parts, and the door through which a user's own come in."""

from channelsim.catalog.catalog import (
    CONTRACTS,
    TABLES,
    dotted_fields,
    part_schema,
    schema,
    unknown_kind,
)
from channelsim.catalog.listing import described, listing

__all__ = [
    "CONTRACTS",
    "TABLES",
    "described",
    "dotted_fields",
    "listing",
    "part_schema",
    "schema",
    "unknown_kind",
]
