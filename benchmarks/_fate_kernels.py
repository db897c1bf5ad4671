"""Times FATE's Rust kernels for Paillier. Runs in the Python interpreter of another environment, which has ``fate-utils``.

Reads questions from standard input, one JSON object per line: ``{"encrypt": count}`` or ``{"product": [rows, columns], "bits":
b}``. Answers each with ``{"seconds": CPU seconds}``. The key of 2048 bits is made before the first question.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    """Make a key, then answer the questions on standard input."""
    import numpy as np
    from fate_utils.paillier import keygen

    random = np.random.default_rng(1)
    _, public, coder = keygen(2048)
    rows = public.encrypt_encoded(coder.encode_f64_vec(np.array([0.5])), True)

    def encrypt(question: dict[str, Any]) -> float:
        encoded = coder.encode_f64_vec(random.uniform(-1, 1, question["encrypt"]))
        began = time.process_time()
        public.encrypt_encoded(encoded, True)
        return time.process_time() - began

    def product(question: dict[str, Any]) -> float:
        count, columns = question["product"]
        limit = 1 << question["bits"] - 1
        vector = rows.slice_indexes([0] * count)
        matrix = coder.encode_i64_vec(random.integers(-limit, limit, count * columns))
        began = time.process_time()
        vector.rmatmul(public, matrix, [count, 1], [columns, count])
        return time.process_time() - began

    for line in sys.stdin:
        question = json.loads(line)
        seconds = encrypt(question) if "encrypt" in question else product(question)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
