"""What a scenario may name: tables of parts, and the door through which a user's own come in."""

from channelsim.catalog.catalog import (
    CONTRACTS,
    TABLES,
    described,
    dotted_fields,
    listing,
    part_schema,
    schema,
    unknown_kind,
)

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
