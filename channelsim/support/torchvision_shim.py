"""Lets a torchvision built for CUDA import beside a CPU-only torch."""

from __future__ import annotations

# torchvision registers kernels for these operators on import, and fails where the compiled
# library, which declares them, could not be loaded. Nothing in this project calls them.
_SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_SYMPTOM = "operator torchvision::nms does not exist"


def ensure_torchvision() -> None:
    """Import torchvision; if only its operators' schemas are missing, declare them first.

    Call it before importing anything that imports torchvision (torchmetrics, lpips). Any other
    failure of the import is passed on.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
        _declare_and_retry()


def _declare_and_retry() -> None:
    import sys

    import torch

    for name, schema in _SCHEMAS.items():
        torch.library.define(name, schema)
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]  # left by the failed import
    import torchvision  # noqa: F401
