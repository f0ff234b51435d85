"""Codecs in ONNX files, run by onnxruntime (the extra ``onnx``); without gradients.

A file can only compute: operators that come with a library of their own are unknown, and tensors in
other files are not found, because they are looked for in an empty folder. It may ask for much
memory or time, as any network may.
"""

from __future__ import annotations

import functools
import hashlib
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from channelsim.codecs.drawn import drawn_for
from channelsim.codecs.latent_form import LatentForm
from channelsim.codecs.own_card import STANDARD, check
from channelsim.contracts.parts import Codec, InputFile, part
from channelsim.support import weight_files
from channelsim.support.errors import InputError

_FLOAT = "tensor(float)"
_QUIET = 4  # onnxruntime's level for fatal messages only; what fails is raised as well


def runtime_version() -> str | None:
    """The version of onnxruntime, which decides bits; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return str(onnxruntime.__version__)


class _Model(nn.Module):
    """One file as a map from one tensor to some: rows one by one, on one thread.

    So a row's bits depend on the row alone. Its buffer is the file's SHA-256, by which a run knows
    its parts again.
    """

    identity: Tensor

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.data = weight_files.read_bytes(file)
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.register_buffer("identity", torch.tensor(list(bytes.fromhex(self.sha256))))
        self._opened: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}  # a session is of its process

    @property
    def _session(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise InputError(
                "kind: onnx needs onnxruntime, which is an extra: pip install 'channelsim[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = _QUIET
        # Those above it choose a layout by the processor, and so other bits.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        with tempfile.TemporaryDirectory() as nothing:
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", nothing
            )
            try:
                return onnxruntime.InferenceSession(
                    self.data, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # it raises classes of its own
                raise InputError(
                    f"{self.file}: onnxruntime cannot load it ({_said(error)}); it must be one file"
                    " with all its tensors, of standard operators"
                ) from None

    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        given = self._session.get_inputs()
        if len(given) != 1:
            names = ", ".join(one.name for one in given)
            raise InputError(f"{self.file}: takes {len(given)} inputs ({names}); one is wanted")
        return self._row(given[0], "input")

    def output_shape(self, wanted: str | None, key: str) -> tuple[int, ...]:
        """The shape of one row of an output; ``key``: of a scenario, to name one of several."""
        return self._row(self._output(wanted, key), "output")

    def _output(self, wanted: str | None, key: str) -> Any:
        given = {one.name: one for one in self._session.get_outputs()}
        if wanted is not None and wanted not in given:
            raise InputError(f"{self.file}: has no output {wanted!r} ({', '.join(given)})")
        if wanted is None and len(given) != 1:
            raise InputError(
                f"{self.file}: has the outputs {', '.join(given)}; say which with {key}: NAME"
            )
        return given[wanted] if wanted is not None else next(iter(given.values()))

    def _row(self, one: Any, what: str) -> tuple[int, ...]:
        many, *shape = one.shape or [None]
        if one.type != _FLOAT or not shape or not all(type(n) is int and n > 0 for n in shape):
            raise InputError(
                f"{self.file}: its {what} {one.name} is {one.type} {list(one.shape)}; wanted is"
                " float32 [N, …] with fixed sizes but the first"
            )
        if type(many) is int and many != 1:
            raise InputError(
                f"{self.file}: its {what} {one.name} is always of {many} rows; export it with a"
                " first dimension that is free, or 1"
            )
        return tuple(shape)

    def forward(self, rows: Tensor, wanted: str | None, key: str) -> Tensor:
        """An output [N, …] for ``rows`` [N, …]."""
        session, name = self._session, self._output(wanted, key).name
        (given,) = session.get_inputs()
        arrays = rows.detach().cpu().numpy()
        try:
            found = [session.run([name], {given.name: one[None]})[0] for one in arrays]
        except Exception as error:
            raise InputError(f"{self.file}: failed ({_said(error)})") from None
        return torch.from_numpy(np.concatenate(found)).to(rows.device)


class _Pair(nn.Module):
    """Encoder and decoder as a codec's network."""

    differentiable = False

    def __init__(self, encoder: _Model | None, decoder: _Model, codec: Onnx) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.latent, self.image = codec.latent, codec.image
        self.form = LatentForm(decoder.input_shape())

    def encode(self, images: Tensor) -> Tensor:
        """Latents [N, K]; draws where there is no encoder."""
        if self.encoder is None:
            return drawn_for(images, self.form.size)
        return self.form.sent(self.encoder(images, self.latent, "latent"))

    def decode(self, latent: Tensor) -> Tensor:
        """Images [N, C, H, W]."""
        found: Tensor = self.decoder(self.form.restored(latent), self.image, "image")
        return found


@part
class Onnx(Codec):
    """A codec in ONNX files, run by onnxruntime on one thread, row by row; it has no gradients.

    ``decoder``: the file of the decoder, latents [N, …] → images [N, C, H, W] in [0, 1].
    ``encoder``: that of the encoder; None (default): a decoder alone, for ``source: prior``.
    ``latent``, ``image``: the names of their outputs, where a file has several. A card beside the
    decoder (NAME.card.yaml) may state its power. Needs the extra ``onnx``.
    """

    kind: ClassVar[str] = "onnx"
    brought: ClassVar[bool] = True

    decoder: InputFile
    encoder: InputFile | None = None
    latent: str | None = None
    image: str | None = None

    @functools.cached_property
    def network(self) -> nn.Module:
        """Both files, opened."""
        decoder = _Model(self.decoder)
        encoder = None if self.encoder is None else _Model(self.encoder)
        network = _Pair(encoder, decoder, self).eval()
        shown, taken = decoder.output_shape(self.image, "image"), network.form.shape
        if len(shown) != 3:
            raise InputError(
                f"{self.decoder}: shows {list(shown)}; an image is [C, H, W] for each row"
            )
        if encoder is not None:
            sent = encoder.output_shape(self.latent, "latent")
            if sent != taken or encoder.input_shape() != shown:
                raise InputError(
                    f"{self.encoder}: makes {list(sent)} of images {list(encoder.input_shape())},"
                    f" and {self.decoder.name} images {list(shown)} of {list(taken)}: they do not"
                    " belong together"
                )
        check(self.decoder.name, self._card(decoder), math.prod(taken), drawn=encoder is None)
        return network

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder."""
        return self.encoder is not None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        colours, height, width = self._pair.decoder.output_shape(self.image, "image")
        return colours, height, width

    @property
    def latent_size(self) -> int:
        """K."""
        return self._pair.form.size

    @property
    def card(self) -> Mapping[str, Any]:
        """The facts of the card beside the decoder, and the SHA-256 of both files."""
        both = [self._pair.decoder, self._pair.encoder]
        digest = hashlib.sha256("|".join(one.sha256 for one in both if one).encode())
        return self._card(self._pair.decoder) | {"content_sha256": digest.hexdigest()}

    def _card(self, decoder: _Model) -> dict[str, Any]:
        size = math.prod(decoder.input_shape())
        drawn = {} if self.encodes else STANDARD | {"latent_mean": [0.0] * size}
        beside = weight_files.read_card(self.decoder, decoder.sha256)
        return {**drawn, **beside, "sha256": decoder.sha256}

    @property
    def _pair(self) -> _Pair:
        network = self.network
        assert isinstance(network, _Pair)
        return network


def _said(error: Exception) -> str:
    """onnxruntime's message, without its own head and in one line."""
    return " ".join(str(error).split())[-200:]
