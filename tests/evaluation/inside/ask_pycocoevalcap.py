"""Runs inside pycocoevalcap's environment: scores of tokenized captions; no Java is needed."""

from __future__ import annotations

import json
import sys
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge


def scores(corpus: dict[str, Any]) -> dict[str, float]:
    captions = {n: [caption] for n, caption in enumerate(corpus["captions"])}
    references = dict(enumerate(corpus["references"]))
    bleus = Bleu(4).compute_score(references, captions, verbose=0)[0]
    return {
        **{f"bleu_{n}": float(bleu) for n, bleu in enumerate(bleus, start=1)},
        "rouge_l": float(Rouge().compute_score(references, captions)[0]),
        "cider": float(Cider().compute_score(references, captions)[0]),
    }


if __name__ == "__main__":
    print(json.dumps([scores(corpus) for corpus in json.load(sys.stdin)["corpora"]]))
