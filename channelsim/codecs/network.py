"""What every network that is trained here can do."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


class Network(nn.Module, ABC):
    """A trainable codec: its tensors are what a weights file stores.

    Built by ``(latent_size=, variational=, image_shape=)``; see `trained.ARCHITECTURES`.
    """

    @abstractmethod
    def folded(self) -> nn.Module:
        """The same map ready to run, with ``encode`` and ``decode`` as `parts.Codec` wants them."""
