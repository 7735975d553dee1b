"""The same weights as an ONNX graph, made of the operators that onnxruntime has for such networks.

Two graphs: `fused` uses onnxruntime's own fused operators (what its transformer optimiser would leave), `plain` the
standard ones that an exporter writes and that onnxruntime fuses as far as it can when it loads them. The bench takes
whichever is faster.
"""

import json
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    def __init__(self, folder):
        self.config = json.loads((Path(folder) / "config.json").read_text())
        self.weights = load_file(Path(folder) / "model.safetensors")
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name, transposed=False):
        value = self.weights[name]
        return self.constant(name, value.T if transposed else value)

    def node(self, kind, inputs, domain="", outputs=1, **attributes):
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0]

    def fused(self, kind, inputs, **attributes):
        return self.node(kind, inputs, domain="com.microsoft", **attributes)

    def linear(self, name, x):
        product = self.node("MatMul", [x, self.weight(f"{name}.weight", transposed=True)])
        return self.node("Add", [product, self.weight(f"{name}.bias")])

    def norm(self, name, x):
        names = [x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.node("LayerNormalization", names, axis=-1, epsilon=self.config["layer_norm_eps"])

    def model(self, output):
        token_input = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "length", self.config["hidden_size"]])
        graph = helper.make_graph(self.nodes, "encoder", token_input, [result], list(self.constants.values()))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def embed(graph):
    prefix = "embeddings"
    words = graph.node("Gather", [graph.weight(f"{prefix}.word_embeddings.weight"), "input_ids"])
    length = graph.node("Slice", [graph.node("Shape", ["input_ids"]), graph.constant("one", np.array([1])), graph.constant("two", np.array([2]))])
    places = graph.constant("places", np.arange(graph.config["max_position_embeddings"]))
    first = graph.node("Slice", [places, graph.constant("zero", np.array([0])), length])
    positions = graph.node("Gather", [graph.weight(f"{prefix}.position_embeddings.weight"), first])
    segment = graph.constant("segment", graph.weights[f"{prefix}.token_type_embeddings.weight"][0])
    return graph.norm(f"{prefix}.LayerNorm", graph.node("Add", [graph.node("Add", [words, segment]), positions]))


def fused(folder):
    graph = Graph(folder)
    config = graph.config
    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.INT32)
    x = embed(graph)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        together = graph.constant(f"{name}.qkv.weight", np.concatenate([graph.weights[f"{part}.weight"].T for part in parts], axis=1))
        bias = graph.constant(f"{name}.qkv.bias", np.concatenate([graph.weights[f"{part}.bias"] for part in parts]))
        attended = graph.fused("Attention", [x, together, bias, mask], num_heads=config["num_attention_heads"])
        projected = graph.node("MatMul", [attended, graph.weight(f"{name}.attention.output.dense.weight", transposed=True)])
        x = skip_norm(graph, f"{name}.attention.output", projected, x)
        wide = graph.node("MatMul", [x, graph.weight(f"{name}.intermediate.dense.weight", transposed=True)])
        wide = graph.fused("BiasGelu", [wide, graph.weight(f"{name}.intermediate.dense.bias")])
        narrow = graph.node("MatMul", [wide, graph.weight(f"{name}.output.dense.weight", transposed=True)])
        x = skip_norm(graph, f"{name}.output", narrow, x)
    return graph.model(x)


def skip_norm(graph, name, x, skipped):
    inputs = [x, skipped, graph.weight(f"{name}.LayerNorm.weight"), graph.weight(f"{name}.LayerNorm.bias"), graph.weight(f"{name}.dense.bias")]
    return graph.fused("SkipLayerNormalization", inputs, epsilon=graph.config["layer_norm_eps"])


def plain(folder):
    graph = Graph(folder)
    config = graph.config
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    mask = graph.node("Unsqueeze", [mask, graph.constant("middle", np.array([1, 2]))])
    mask = graph.node("Sub", [graph.constant("1.0", np.array(1, dtype=np.float32)), mask])
    mask = graph.node("Mul", [mask, graph.constant("lowest", np.array(np.finfo(np.float32).min, dtype=np.float32))])
    apart = graph.constant("apart", np.array([0, 0, heads, hidden // heads]))
    joined = graph.constant("joined", np.array([0, 0, hidden]))
    x = embed(graph)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            graph.node("Transpose", [graph.node("Reshape", [graph.linear(f"{name}.attention.self.{part}", x), apart])], perm=perm)
            for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        root = graph.constant("root", np.array(math.sqrt(hidden // heads), dtype=np.float32))
        scores = graph.node("Add", [graph.node("Div", [graph.node("MatMul", [q, k]), root]), mask])
        mixed = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), v])
        mixed = graph.node("Reshape", [graph.node("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])
        x = graph.norm(f"{name}.attention.output.LayerNorm", graph.node("Add", [graph.linear(f"{name}.attention.output.dense", mixed), x]))
        wide = graph.linear(f"{name}.intermediate.dense", x)
        error = graph.node("Erf", [graph.node("Div", [wide, graph.constant("root2", np.array(math.sqrt(2), dtype=np.float32))])])
        gated = graph.node("Mul", [wide, graph.node("Add", [error, graph.constant("1.0", np.array(1, dtype=np.float32))])])
        wide = graph.node("Mul", [gated, graph.constant("half", np.array(0.5, dtype=np.float32))])
        x = graph.norm(f"{name}.output.LayerNorm", graph.node("Add", [graph.linear(f"{name}.output.dense", wide), x]))
    return graph.model(x)


def save(folder, target):
    """Writes `plain.onnx` and `fused.onnx` into the target folder, unless they are there."""
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for name, build in (("plain", plain), ("fused", fused)):
        path = target / f"{name}.onnx"
        if not path.exists():
            onnx.save(build(folder), path)
        yield path
