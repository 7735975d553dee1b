"""llama.cpp's own loop over the same model: `llama_peer.py first|time FILE THREADS TOKENS`, medians as JSON.

Batches go through `llama_decode` with nothing between them; the likeliest token comes next.
"""

import ctypes
import json
import statistics
import sys
import time

import llama_cpp as ll
import numpy

CONTEXT, ROUNDS, WRITTEN, AT_ONCE = 2048, 3, 48, 8
# Words of the tiny vocabulary stand behind 259 others; any will do, and none of these ends a text.
FIRST_WORD, WORDS = 260, 30


class Model:
    def __init__(self, file: str, threads: int, sequences: int = AT_ONCE):
        ll.llama_backend_init()
        self.model = ll.llama_model_load_from_file(file.encode(), ll.llama_model_default_params())
        settings = ll.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_seq_max, settings.kv_unified = CONTEXT, 512, sequences, True
        settings.n_threads = settings.n_threads_batch = threads
        self.context = ll.llama_init_from_model(self.model, settings)
        self.vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))
        self.batch = ll.llama_batch_init(512, 0, 1)

    def decode(self, pieces: list[tuple[int, int, int, bool]]) -> list[int]:
        """Token, position, sequence, whether what follows is wanted: the likeliest next tokens of those that are."""
        self.batch.n_tokens = len(pieces)
        for place, (token, position, sequence, wanted) in enumerate(pieces):
            self.batch.token[place], self.batch.pos[place] = token, position
            self.batch.n_seq_id[place], self.batch.seq_id[place][0] = 1, sequence
            self.batch.logits[place] = wanted
        if ll.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        rows = [place for place, piece in enumerate(pieces) if piece[3]]
        return [int(numpy.argmax(self.logits(place))) for place in rows]

    def logits(self, place: int) -> numpy.ndarray:
        row = ll.llama_get_logits_ith(self.context, place)
        return numpy.ctypeslib.as_array(ctypes.cast(row, ctypes.POINTER(ctypes.c_float)), shape=(self.vocabulary,))

    def forget(self) -> None:
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)

    def read(self, tokens: int, sequence: int = 0) -> int:
        """Reads a text of so many tokens; the likeliest next one."""
        pieces = [(FIRST_WORD + (7 * place + sequence) % WORDS, place, sequence, place + 1 == tokens) for place in range(tokens)]
        followed = [self.decode(pieces[start : start + 512]) for start in range(0, tokens, 512)]
        return followed[-1][0]


def main() -> None:
    mode, file, threads, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    start = time.perf_counter()
    model = Model(file, threads)
    if mode == "first":
        model.read(tokens)
        print(json.dumps({"ms": (time.perf_counter() - start) * 1e3}))
        return
    model.read(tokens)
    found = {"prefill_tokens_per_s": [], "decode_tokens_per_s": [], "parallel_tokens_per_s": []}
    for _ in range(ROUNDS):
        model.forget()
        start = time.perf_counter()
        model.read(tokens)
        found["prefill_tokens_per_s"].append(tokens / (time.perf_counter() - start))
        model.forget()
        token = model.read(16)
        start = time.perf_counter()
        for place in range(WRITTEN):
            [token] = model.decode([(token, 16 + place, 0, True)])
        found["decode_tokens_per_s"].append(WRITTEN / (time.perf_counter() - start))
        model.forget()
        now = [model.read(16, sequence) for sequence in range(AT_ONCE)]
        start = time.perf_counter()
        for place in range(WRITTEN):
            now = model.decode([(token, 16 + place, sequence, True) for sequence, token in enumerate(now)])
        found["parallel_tokens_per_s"].append(AT_ONCE * WRITTEN / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in found.items()}
    version = ll.__version__
    print(json.dumps({**medians, "peer": f"llama-cpp-python {version}"}))


main()
