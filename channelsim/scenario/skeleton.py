"""The top level of a scenario file: its keys and their types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Le
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator

from channelsim.contracts.parts import Count, Flag, Whole
from channelsim.support import device
from channelsim.support.problems import Fault
from channelsim.support.validation import faults_of

LARGEST_BLOCK = 65_536  # rows; project's choice: beyond this a block only wastes memory

OF_SIGNALS = ("mse", "snr", "spectral_error")  # metrics by default; project's choice


class Skeleton(BaseModel):
    """A scenario: one source, one path, receivers to compare, and a sweep."""

    model_config = ConfigDict(extra="forbid", title="channelsim scenario")

    title: Annotated[str, Strict()] = Field("", description="What the study is about.")
    seed: Whole = Field(0, description="Of all random numbers.")
    source: Any = Field(description="Where messages come from.")
    transmit: Literal["mean", "sample"] = Field(
        "mean", description="Whether a variational encoder sends its mean or a sample."
    )
    power: Any = Field(default_factory=dict, description="Power mode: average, codeword, or keys.")
    link: Any = Field(
        default_factory=dict, description="Time, loss, attempts, and how transmitters share."
    )
    path: list[Any] = Field(
        default_factory=list, description="What the signal meets between the two, in order."
    )
    receivers: dict[str, Any] = Field(
        min_length=1, description="Name → codec, detector, latency_s, fallback, assumed_snr_db."
    )
    metrics: list[Any] = Field(
        default_factory=lambda: ["mse", "psnr", "ssim"],
        min_length=1,
        description="What is measured of every image, against source, clean, passive and target."
        " Of signals the default is mse, snr, spectral_error.",
    )
    primary: Annotated[str, Strict()] | None = Field(
        None,
        description="By which metric receivers are compared for the user, against the source, with"
        " intervals that hold for all pairs and points together. Default: the first of metrics.",
    )
    control: Flag = Field(True, description="Whether matched noise runs beside every attack.")
    sweep: dict[str, Any] = Field(
        default_factory=dict, description="Dotted key → the values it takes."
    )
    zip: list[Any] = Field(
        default_factory=list,
        description="Keys of the sweep that take their first values together, then their second,"
        " and so on, instead of all combinations; or a list of such lists.",
    )
    block_rows: Annotated[Count, Le(LARGEST_BLOCK)] | None = Field(
        None,
        description="Rows computed at once; the compute shape, part of the result. Project default:"
        " 256, or 8 where a receiver has a detector, whose decisions are waited for and fill no"
        " large block; fewer of images or codewords of more than 1,024 numbers.",
    )
    max_pending: Count | None = Field(
        None,
        description="Most rows that may wait to be computed together; scheduling only. Left out, up"
        " to 2,048 rows wait, as many as take two seconds.",
    )
    device: str = Field(
        "auto",
        description="What computes: cpu, cuda, cuda:N, or auto, a GPU where there is one. The draws"
        " are those of a CPU; last bits differ from device to device, and the header names it.",
    )
    images: Whole = Field(
        4,
        description="Of how many messages per arm pictures are kept, beside its newest and its two"
        " worst; 0: of none.",
    )

    @field_validator("device", mode="before")
    @classmethod
    def _names_a_device(cls, given: Any) -> Any:
        if reason := device.fault(given):
            raise ValueError(reason)
        return given


def read_skeleton(data: dict[str, Any]) -> tuple[Skeleton, set[str], list[Fault]]:
    """The top level, its broken keys (replaced by defaults), and their faults."""
    try:
        return Skeleton.model_validate(data), set(), []
    except ValidationError as error:
        faults = [_worded(fault) for fault in faults_of(error, Skeleton, "a scenario")]
    broken = {str(fault.where[0]) for fault in faults if fault.where}
    stand_in: dict[str, Any] = {"source": None, "receivers": {"-": None}}
    kept = {key: value for key, value in data.items() if key not in broken}
    missing = {key: value for key, value in stand_in.items() if key not in kept}
    known = set(Skeleton.model_fields)
    usable = {key: value for key, value in kept.items() if key in known}
    return Skeleton.model_validate({**usable, **missing}), (broken | set(missing)) & known, faults


def _worded(fault: Fault) -> Fault:
    if "should have at least 1 item" in fault.text:
        return Fault(fault.where, "must not be empty; name at least one")
    return fault
