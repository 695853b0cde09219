"""Makes flagembedding_golden.json: what FlagEmbedding makes of some texts with the checkpoint of `build_m3`.

Run by hand, from the root, after `pip install -e .[oracle]`; no test needs FlagEmbedding, and where it is installed, `test_heads.py`
asks it as well:

    python -m tests.transforms.adapters.engines.make_flagembedding_golden
"""

import base64
import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.checkpoints import POSITIONS, build_m3

GOLDEN = Path(__file__).with_name("flagembedding_golden.json")
TEXTS = [
    "a",
    "",
    "the river runs to the sea",
    "river river river the the bird",
    "der Fluss fließt zum Meer",
    "नदी समुद्र तक बहती है",
    "川は海へ流れる 강은 바다로 흐른다",
    "unknown: \u1780\u1781 \u1782",
    "<s> </s> <unk> <mask>",
    "الماء يجري إلى البحر, bread & honey 42!",
]


def ask(directory: Path, texts: Sequence[str]) -> Mapping[str, Any]:
    """What FlagEmbedding itself makes of the texts, in float32."""
    model = importlib.import_module("FlagEmbedding").BGEM3FlagModel(str(directory), use_fp16=False, devices="cpu")
    wanted = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    return dict(model.encode(list(texts), max_length=POSITIONS, **wanted))


def pack(numbers: npt.NDArray[np.floating]) -> str:
    """Base64 of little-endian float32 numbers."""
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


def unpack(packed: str, dimensions: int) -> npt.NDArray[np.float32]:
    """What `pack` packed, shape (rows, dimensions)."""
    return np.frombuffer(base64.b64decode(packed), "<f4").reshape(-1, dimensions)


def main() -> None:
    """Writes the golden file."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = build_m3(Path(scratch, "m3"))
        answer = ask(directory, TEXTS)
        golden = {
            "made_by": "FlagEmbedding 1.4.2",
            "texts": [
                {
                    "text": text,
                    "dense": pack(answer["dense_vecs"][index]),
                    "lexical": {key: float(weight) for key, weight in answer["lexical_weights"][index].items()},
                    "colbert": pack(answer["colbert_vecs"][index]),
                }
                for index, text in enumerate(TEXTS)
            ],
        }
    GOLDEN.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
