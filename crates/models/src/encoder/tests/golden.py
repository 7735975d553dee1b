"""Expected embeddings, by the implementation of BERT in the Python package transformers.

    pip install 'transformers==4.57.6' 'flax==0.12.8' 'jax==0.10.2' 'safetensors==0.8.0' numpy
    python golden.py tiny > tiny.json                       # the encoder that tiny.rs draws by lot
    python golden.py FOLDER > all-minilm-l6-v2.json         # one with real weights

Flax rather than PyTorch: the same network of the same package, in a tenth of the download. Pooling and normalisation
are those of sentence-transformers: the mean over the tokens or the first of them, divided by its Euclidean length.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer, BertConfig, FlaxBertModel

jax.config.update("jax_default_matmul_precision", "highest")

SEED = 7
TINY = dict(vocab_size=64, hidden_size=30, num_hidden_layers=2, num_attention_heads=3, intermediate_size=52, max_position_embeddings=40, type_vocab_size=2, layer_norm_eps=1e-12)
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
TOKENS = [[2, 3], [2, 6, 7, 8, 4, 3], [2, 9, 10, 8, 4, 12, 14, 3], list(range(40, 64)), [2] + [5] * 38 + [3]]
TEXTS = [
    "",
    "Where is my card?",
    "I was charged twice for the same coffee; can I have the second one back, please?",
    "Überweisung auf ein chinesisches Konto: 东京 … 50€",
    "The parcel has been on its way for three weeks. " * 12,
]


def drawn(count):
    """SplitMix64's outputs for the states SEED, SEED + 1, ..., as numbers from -1 up to 1."""
    with np.errstate(over="ignore"):
        bits = (np.arange(count, dtype=np.uint64) + np.uint64(SEED + 1)) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    return (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def shapes(config):
    """Names and sizes of all tensors, in the order of `weights.rs`."""
    hidden, inner = config.hidden_size, config.intermediate_size
    norm = lambda name: [(f"{name}.weight", [hidden]), (f"{name}.bias", [hidden])]
    linear = lambda name, outputs, inputs: [(f"{name}.weight", [outputs, inputs]), (f"{name}.bias", [outputs])]
    tables = (("word", config.vocab_size), ("position", config.max_position_embeddings), ("token_type", config.type_vocab_size))
    for table, rows in tables:
        yield f"embeddings.{table}_embeddings.weight", [rows, hidden]
    yield from norm("embeddings.LayerNorm")
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            yield from linear(f"{name}.attention.{part}", hidden, hidden)
        yield from norm(f"{name}.attention.output.LayerNorm")
        yield from linear(f"{name}.intermediate.dense", inner, hidden)
        yield from linear(f"{name}.output.dense", hidden, inner)
        yield from norm(f"{name}.output.LayerNorm")


def tiny_weights(config):
    numbers, used, weights = drawn(1 << 20), 0, {}
    for name, shape in shapes(config):
        count = int(np.prod(shape))
        centre = np.float32(name.endswith("LayerNorm.weight"))
        weights[name] = centre + numbers[used : used + count].reshape(shape) / np.float32(4)
        used += count
    return weights


def parameters(config, weights):
    """The same numbers under Flax's names, matrices turned."""
    tree = {}
    for name, _ in shapes(config):
        *path, last = name.split(".")
        kind = {"LayerNorm": "scale"}.get(path[-1], "embedding" if "embeddings" in path[-1] else "kernel")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        value = weights[name]
        node["bias" if last == "bias" else kind] = value.T if kind == "kernel" and last == "weight" else value
    return tree


def states(config, weights, tokens):
    model = FlaxBertModel(config, add_pooling_layer=False, _do_init=False)
    ids = np.array([tokens])
    found = model(ids, np.ones_like(ids), params=parameters(config, weights), train=False)
    return np.asarray(found.last_hidden_state[0], dtype=np.float64)


def unit(vector):
    return (vector / np.linalg.norm(vector)).round(7).tolist()


def tiny():
    found = {}
    for ours, theirs in ACTIVATIONS.items():
        config = BertConfig(hidden_act=theirs, **TINY)
        rows = [states(config, tiny_weights(config), tokens) for tokens in TOKENS]
        found[ours] = {"mean": [unit(row.mean(axis=0)) for row in rows], "cls": [unit(row[0]) for row in rows]}
    return {"tokens": TOKENS, **found}


def real(folder):
    config = BertConfig.from_pretrained(folder)
    weights = load_file(Path(folder) / "model.safetensors")
    most = json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, truncation=True, max_length=most)["input_ids"]
    return {"texts": TEXTS, "mean": [unit(states(config, weights, ids).mean(axis=0)) for ids in tokens]}


print(json.dumps(tiny() if sys.argv[1] == "tiny" else real(sys.argv[1])))
