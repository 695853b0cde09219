"""Language detectors behind one protocol, chosen by `--detector`.

`base` says what a detector is, `cld2` and `fasttext` are two of them, `agree` joins both, `choice` reads the option.
"""

from transforms.adapters.detectors.base import Detector
from transforms.adapters.detectors.choice import Choice, names_files, open_detector, read_choice
from transforms.adapters.detectors.cld2 import Cld2Detector

__all__ = ["Choice", "Cld2Detector", "Detector", "names_files", "open_detector", "read_choice"]
