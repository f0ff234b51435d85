"""Builds parts from their descriptions in a scenario; each distinct part is built once."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from channelsim.codecs import state_dict, zoo_names
from channelsim.codecs.state_dict import StateDict
from channelsim.contracts.own_code import is_foreign
from channelsim.contracts.parts import Codec, Metric
from channelsim.scenario import admission, user_code, user_imports
from channelsim.scenario.catalog import CONTRACTS, TABLES, unknown_kind
from channelsim.scenario.training_data import training_data_notices
from channelsim.scenario.trials import TRAINING, TrialImages
from channelsim.sources import Source, as_float
from channelsim.support import user_files
from channelsim.support.errors import InputError, did_you_mean
from channelsim.support.files import sha256_of, written_name
from channelsim.support.problems import Fault, Where, shown
from channelsim.support.validation import faults_of


@dataclass(frozen=True)
class Built:
    """A part, or the faults of its description. ``origin``: the user's file, if it is his.

    ``files``: absolute names of the user's files that it was made from, with their SHA-256;
    ``again`` constructs the part once more.
    """

    part: Any = None
    faults: tuple[Fault, ...] = ()
    origin: tuple[Path, str] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    again: Callable[[], Any] | None = None


@functools.cache
def adapter(cls: type) -> TypeAdapter[Any]:
    """Pydantic's validator of a class; making one takes a hundred times longer than using it."""
    return TypeAdapter(cls)


def expand(slot: str, given: Any) -> Any:
    """Spell a shorthand out: a word is a kind; for a codec, a codec of the zoo."""
    if not isinstance(given, str):
        return given
    if slot == "codec" and given not in TABLES["codec"]:
        return {"kind": "zoo", "name": given}
    return {"kind": given}


class Workshop:
    """Builds parts and caches them by their descriptions.

    ``folder``: the base of relative paths. ``data_root``: the folder of data sets. ``source``:
    gives images to try foreign codecs on; None where it is faulty itself. ``notices``: to the
    user.
    """

    def __init__(self, folder: Path | None, data_root: Path | None = None) -> None:
        self.folder = folder
        self.data_root = data_root
        self.source: Source | None = None
        self.notices: list[str] = []
        self.foreign: dict[int, Built] = {}  # by the identity of the part, which stays alive here
        self._built: dict[str, Built] = {}
        self._read: dict[type, dict[str, str]] = {}  # files that methods of a class read when tried

    @functools.cached_property
    def images(self) -> TrialImages | None:
        """Images to try the user's own parts on."""
        return None if self.source is None else TrialImages.of(self.source)

    @functools.cached_property
    def training(self) -> Tensor:
        """More of the training split, for parts that must be fitted to be tried."""
        assert self.source is not None
        return as_float(self.source.calibration().images[:TRAINING])

    def note(self, notices: Iterable[str]) -> None:
        """Keep notices to the user, each once."""
        self.notices += [notice for notice in dict.fromkeys(notices) if notice not in self.notices]

    def build(self, slot: str, given: Any) -> Built:
        """The part that ``given`` describes (a mapping, a shorthand word, or a part as such)."""
        if isinstance(given, CONTRACTS[slot]):
            return self._given(slot, given)
        if (said := _said(expand(slot, given))) is None:
            return self._make(slot, given)
        key = f"{slot} {said}"
        if key not in self._built:
            self._built[key] = self._make(slot, given)
        return self._built[key]

    def _make(self, slot: str, given: Any) -> Built:
        mapping = expand(slot, given)
        if slot == "codec" and isinstance(given, nn.Module):
            return self._kept(self._module(given, type(given).__name__, "python"))
        if not isinstance(mapping, Mapping):
            known = ", ".join(TABLES[slot])
            return _wrong(
                f"must be a mapping {{kind: …}} (known: {known}), was given {shown(given)}"
            )
        if odd := [key for key in mapping if not isinstance(key, str)]:
            return _wrong(f"{shown(odd[0])}: a key must be a word")
        if "use" in mapping:
            return self._foreign(slot, dict(mapping))
        if "kind" not in mapping:
            return _wrong(f"kind is missing (known: {', '.join(TABLES[slot])}, or `use:` your own)")
        kind = mapping["kind"]
        if not isinstance(kind, str) or kind not in TABLES[slot]:
            return _wrong(unknown_kind(slot, kind), ("kind",))
        if slot == "codec" and isinstance(given, str) and kind == "zoo":
            return self._zoo(given)
        arguments = {key: value for key, value in mapping.items() if key != "kind"}
        built = validated(TABLES[slot][kind], arguments, self.folder, self.data_root)
        if slot == "metric":
            return self._fitting(_opened(built))
        if slot != "codec":
            return built
        opened = _opened(built)
        if opened.part is not None and opened.part.brought:
            return self._kept(self._tried(opened.part, opened.part.kind, None, ()))
        return opened

    def _fitting(self, built: Built) -> Built:
        """Refuse a metric that cannot measure the source's images here, not in the run."""
        if built.part is not None and self.source is not None:
            try:
                built.part.check_fit(self.source.image_shape)
            except InputError as error:
                return _wrong(error.message)
        return built

    def _zoo(self, name: str) -> Built:
        """A codec named by a word: errors name the word, not keys that are not in the file."""
        built = _opened(validated(TABLES["codec"]["zoo"], {"name": name}, self.folder))
        known = [*zoo_names(), *TABLES["codec"]]
        if built.part is None and name not in known:
            return _wrong(
                f"unknown codec {name!r} (known: {', '.join(known)}, or `use:` your own)."
                f"{did_you_mean(name, known)}"
            )
        return Built(built.part, tuple(Fault((), fault.text) for fault in built.faults))

    # --- the user's own ---------------------------------------------------------------------------

    def _given(self, slot: str, part: Any) -> Built:
        """A part passed as a Python object: the user's own is tried like one from a file."""
        if slot == "source" or not is_own(part):
            return Built(part)
        if id(part) in self.foreign:
            return self.foreign[id(part)]
        return self._kept(self._tried(part, type(getattr(part, "module", part)).__name__, None, ()))

    def _kept(self, built: Built) -> Built:
        """Cache a part of the user's own."""
        if built.part is not None:
            self.foreign[id(built.part)] = built
        return built

    def _foreign(self, slot: str, mapping: dict[str, Any]) -> Built:
        use = mapping.pop("use")
        if "kind" in mapping:
            return _wrong("kind and use exclude each other; remove one", ("kind",))
        _ = self.images  # loaded first: the data set's files are not the part's
        try:
            file, wanted = user_code.split_use(use, self.folder)
        except InputError as error:
            return _wrong(error.message, ("use",))
        with user_files.recorded() as heard, user_imports.aside(file.parent):
            said = _said([str(file), wanted, mapping]) or f"{file}:{wanted}"
            user_files.unchanged(said)  # files read earlier may not be opened again
            try:
                cls = user_code.load_class(file, wanted)
            except InputError as error:
                return _wrong(error.message, ("use",))
            self.note([f"runs code from {use}"])
            mapping = {key: self._beside(value) for key, value in mapping.items()}
            heard |= {str(value) for value in mapping.values() if isinstance(value, Path)}
            given = {
                key: str(value) if isinstance(value, Path) else value
                for key, value in mapping.items()
            }
            built = self._of_class(slot, cls, given, use)
        files = user_files.of_the_user(heard, file) if built.part is not None else {}
        user_files.remember(said, files)
        return self._kept(replace(built, origin=(file, wanted), given=mapping, files=files))

    @contextmanager
    def listening(self, part: Any, codec: Codec) -> Iterator[None]:
        """Inside, opened files count as read by a part's class, except those its codec reads."""
        own, others = self.foreign[id(part)], self.foreign.get(id(codec), Built()).files
        if own.origin is None:
            yield
            return
        file, wanted = own.origin
        said = f"methods of {file}:{wanted}"
        with user_files.recorded() as heard, user_imports.aside(file.parent):
            for used in (own.files, others):
                user_imports.back(used)
            known = user_files.remembered(said)
            user_files.hear(name for name, sha in known.items() if sha256_of(Path(name)) == sha)
            yield
        files = user_files.of_the_user(heard, file)
        user_files.remember(said, files)
        more = {name: sha for name, sha in files.items() if name not in others}
        self._read[type(part)] = self._read.get(type(part), {}) | more

    @property
    def files(self) -> dict[int, dict[str, str]]:
        """Per part identity: absolute names of the files that it was made from, with SHA-256."""
        return {
            part: {**built.files, **self._read.get(type(built.part), {})}
            for part, built in self.foreign.items()
        }

    def _beside(self, value: Any) -> Any:
        """A text that names a file beside the scenario, as an absolute path."""
        if not isinstance(value, str) or ("/" not in value and "." not in value):
            return value
        file = (self.folder or Path()) / value
        try:
            return file.absolute() if file.is_file() else value
        except (OSError, ValueError):  # not a possible file name
            return value

    def _of_class(self, slot: str, cls: type, arguments: dict[str, Any], use: str) -> Built:
        contract = CONTRACTS[slot]
        if issubclass(cls, contract):
            if inspect.isabstract(cls):
                missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
                return _wrong(f"{cls.__name__} does not define {missing}", ("use",))
            kind = getattr(cls, "kind", "")
            if not isinstance(kind, str) or not kind.replace("-", "_").isidentifier():
                return _wrong(
                    f'{cls.__name__} needs a name for tables: write kind: ClassVar[str] = "a-word"',
                    ("use",),
                )

            def build() -> Built:
                if hasattr(cls, "__pydantic_fields__"):
                    return validated(cls, arguments, self.folder)
                return _constructed(cls, arguments)

            built = build()
            if built.part is None:
                return built
            return self._tried(built.part, cls.__name__, lambda: _second(build()))
        if slot == "codec" and issubclass(cls, nn.Module):
            if self.images is None:
                return Built()
            return self._of_module(cls, arguments, use)
        what = "a torch module with encode and decode, or a " if slot == "codec" else "a "
        return _wrong(
            f"{cls.__name__} must be {what}channelsim.{contract.__name__}"
            if slot != "source"
            else "a source of your own is not possible yet; use kind: dataset",
            ("use",),
        )

    def _of_module(self, cls: type, arguments: dict[str, Any], use: str) -> Built:
        """A codec of a torch module's class, with its weights where they lie in a file."""
        keys, weights = dict(arguments), None
        if "weights" in keys and not user_code.takes(cls, "weights"):
            file = keys.pop("weights")
            if not isinstance(file, str) or not {"/", "."} & set(file):
                return _wrong(
                    f"must be a file such as ./net.pt, was given {shown(file)}", ("weights",)
                )
            try:
                weights = state_dict.read((self.folder or Path()) / written_name(file))
            except InputError as error:
                return _wrong(_without_key(error.message), ("weights",))
            self.note(weights.notices)

        def build() -> Built:
            built = _constructed(cls, keys, ("weights",))
            if built.part is not None and weights is not None:
                try:
                    weights.load_into(built.part, cls.__name__)
                except InputError as error:
                    return _wrong(_without_key(error.message), ("weights",))
            return built

        built = build()
        if built.part is None:
            return built
        return self._module(built.part, cls.__name__, use, weights, lambda: _second(build()))

    def _module(
        self,
        module: nn.Module,
        name: str,
        origin: str,
        weights: StateDict | None = None,
        again: Callable[[], Any] | None = None,
    ) -> Built:
        """A torch module as a codec; ``again`` constructs the module once more."""
        if self.images is None:
            return Built()
        try:
            facts = {} if weights is None else weights.card
            wrapped = admission.wrap(module, name, self.images.images, origin, facts)
        except InputError as error:
            return _wrong(error.message)
        return self._tried(wrapped, name, again, ("use",) if again is not None else ())

    def _tried(
        self, part: Any, name: str, again: Callable[[], Any] | None, where: Where = ("use",)
    ) -> Built:
        """Admission of a foreign part; of those that need a codec, see `trying`."""
        if self.images is None:
            return Built(part)
        try:
            if isinstance(part, Codec):
                self.note(training_data_notices(part, name, self.source))
                self.note(admission.admit(part, name, self.images, again))
            elif isinstance(part, Metric):
                part.check_fit(tuple(self.images.images.shape[1:]))
                self.note(admission.admit_metric(part, name, self.images, again))
        except InputError as error:
            return _wrong(error.message, where)
        return Built(part, again=again)


def is_own(part: Any) -> bool:
    """Whether a part's code, or a codec's network, is not this package's."""
    return is_foreign(type(part)) or (isinstance(part, Codec) and part.brought)


def validated(
    cls: type, arguments: Mapping[str, Any], folder: Path | None, data_root: Path | None = None
) -> Built:
    """A part from its keys, or all faults in them."""
    context = {"folder": folder, "data_root": data_root}
    try:
        part = adapter(cls).validate_python(dict(arguments), context=context)
    except ValidationError as error:
        return Built(faults=tuple(faults_of(error, cls)))
    except InputError as error:
        return _wrong(error.message)
    return Built(part)


def _without_key(message: str) -> str:
    """An error about weights, whose key its place names already."""
    return message.removeprefix("weights ")


def _constructed(cls: type, arguments: dict[str, Any], beside: Sequence[str] = ()) -> Built:
    try:
        return Built(user_code.construct(cls, arguments, beside))
    except InputError as error:
        return _wrong(error.message)


def _second(built: Built) -> Any:
    """A second construction of a part."""
    if built.part is None:
        reason = built.faults[0].text if built.faults else "nothing came of it"
        raise InputError(
            f"it can be constructed only once ({reason}), and a run that is resumed or replayed"
            " constructs it again"
        )
    return built.part


def _opened(built: Built) -> Built:
    """Load a part's network now, so that a missing or damaged file is reported with the rest."""
    if built.part is not None:
        try:
            _ = built.part.network if isinstance(built.part, Codec) else built.part.card
        except InputError as error:
            return _wrong(error.message)
    return built


def _wrong(text: str, where: Where = ()) -> Built:
    return Built(faults=(Fault(where, text),))


def _said(value: Any) -> str | None:
    """The description of a part as text, equal for equal parts; None where keys are no words."""
    try:
        return json.dumps(value, sort_keys=True, default=_identity)
    except (TypeError, ValueError, RecursionError):
        return None


def _identity(value: Any) -> str:
    return f"{type(value).__name__} at {id(value)}"
