"""Deep joint source-channel coding of colour images, and a sibling that is told the SNR.

A convolutional encoder maps pixels straight to channel symbols, each codeword at power 1, and the
decoder maps noisy symbols back: no bits in between, so quality falls with the SNR and not off a
cliff. After Bourtsoulatze, Burth Kurka and Gündüz (IEEE Trans. Cogn. Commun. Netw. 5(3), 2019); the
sibling's gains follow Xu et al. (IEEE Trans. Circuits Syst. Video Technol. 32(4), 2022). Sizes are
this file's own. `train_deepjscc.py` made the weights; their cards lie beside them. A scenario names
them with `weights:`.
"""

import torch
from torch import nn
from torch.nn import functional

_WIDTHS, _VALUES = (32, 64, 64, 64), 8  # channels of the layers; channels of a codeword, 8 × 8 each


class DeepJSCC(nn.Module):
    """Images [N, 3, 32, 32] → latents [N, 512], ‖z‖² = 512 each, and back."""

    calibration_images = 500
    takes_snr = False

    def __init__(self):
        super().__init__()
        a, b, c, d = _WIDTHS
        self.down = nn.ModuleList(
            [
                nn.Conv2d(3, a, 5, stride=2, padding=2),
                nn.Conv2d(a, b, 5, stride=2, padding=2),
                nn.Conv2d(b, c, 3, padding=1),
                nn.Conv2d(c, d, 3, padding=1),
            ]
        )
        self.code = nn.Conv2d(d, _VALUES, 3, padding=1)
        self.up = nn.ModuleList(
            [
                nn.Conv2d(_VALUES, d, 3, padding=1),
                nn.Conv2d(d, c, 3, padding=1),
                nn.Conv2d(c, b, 3, padding=1),
                nn.ConvTranspose2d(b, a, 5, stride=2, padding=2, output_padding=1),
            ]
        )
        self.picture = nn.ConvTranspose2d(a, 3, 5, stride=2, padding=2, output_padding=1)
        self.bends = nn.ModuleList(nn.PReLU(n) for n in (*_WIDTHS, d, c, b, a))
        self.gains = nn.ModuleList(Gains(n) for n in (*_WIDTHS, d, c, b, a) if self.takes_snr)

    def encode(self, images):
        """Each codeword has mean square 1."""
        return self._encoded(images, None)

    def decode(self, latent):
        """Images in [0, 1]."""
        return self._decoded(latent, None)

    def _encoded(self, images, snr_db):
        x = self._layers(self.down, 0, images, snr_db)
        x = self.code(x).flatten(1)
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-9).sqrt()

    def _decoded(self, latent, snr_db):
        x = self._layers(self.up, len(self.down), latent.unflatten(1, (_VALUES, 8, 8)), snr_db)
        return torch.sigmoid(self.picture(x))

    def _layers(self, layers, first, x, snr_db):
        for number, layer in enumerate(layers, first):
            y = self.bends[number](layer(x))
            x = y + x if y.shape == x.shape else y
            if self.takes_snr:
                x = self.gains[number](x, snr_db)
        return x


class ToldDeepJSCC(DeepJSCC):
    """The same, told the SNR at both ends: it weighs its features by it."""

    takes_snr = True

    def encode(self, images, side):
        """``side.snr_db`` [N]."""
        return self._encoded(images, side.snr_db)

    def decode(self, latent, side):
        """``side.snr_db`` [N]."""
        return self._decoded(latent, side.snr_db)


class Gains(nn.Module):
    """A gain in (0, 2) for every channel, from the channels' means and the SNR in dB."""

    def __init__(self, channels, hidden=16):
        super().__init__()
        self.inner = nn.Linear(channels + 1, hidden)
        self.outer = nn.Linear(hidden, channels)

    def forward(self, x, snr_db):
        """Features [N, C, H, W], each channel times its gain."""
        seen = torch.cat([x.mean(dim=(2, 3)), snr_db[:, None] / 10.0], dim=1)
        gains = _rows(functional.relu(_rows(seen, self.inner)), self.outer)
        return x * (2.0 / (1.0 + (-gains).exp()))[:, :, None, None]


def _rows(x, layer):
    """A linear layer, every row a product of its own: its bits depend on no other row."""
    return torch.bmm(x[:, None], layer.weight.T.expand(len(x), -1, -1))[:, 0] + layer.bias
