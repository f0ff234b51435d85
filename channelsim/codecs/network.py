"""The base class of trainable codec networks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


class Network(nn.Module, ABC):
    """A trainable codec; a weights file stores its tensors.

    Built by ``(latent_size=, variational=, image_shape=)``; see `trained.ARCHITECTURES`.
    """

    @abstractmethod
    def folded(self) -> nn.Module:
        """The same map for inference, with ``encode`` and ``decode`` as `parts.Codec` requires."""
