"""Makes the golden values beside this file: what tiny models of each architecture say in Hugging Face transformers.

    python make.py          # with torch 2.9.0 and transformers 5.23.0

A model's numbers are not stored: each tensor's are drawn from its name, here and in `src/llama/golden.rs` alike. A file holds
what the GGUF file has to say of itself, its tensors, the tokens of one text, and what may follow after some of them.

`adapter_*.json` holds two LoRA adapters of such a model as PEFT writes them, and what may follow with each: W + scale B A, put into
transformers' own weights.
"""

import json
import math
import os

import numpy as np
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = 272
WIDTH, INSIDE, HEADS, KV_HEADS = 32, 48, 4, 2
EPS = 1e-5
# Longer than the sliding windows below, so that these slide.
TOKENS = [1, 70, 104, 101, 35, 99, 100, 117, 103, 259, 260, 3, 35, 110, 102, 101, 118, 35, 12, 80, 200, 7, 35, 262, 90]
ROWS = [0, 11, len(TOKENS) - 1]


def drawn(name, count, middle, spread):
    """`count` numbers around `middle`: the i-th of splitmix64, begun at the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    share = (z >> np.uint64(40)).astype(np.float64) / 2**24
    return (middle + spread * (share - 0.5)).astype(np.float32)


class File:
    """One GGUF file: what it says of itself, and its tensors under the names that transformers has for them."""

    def __init__(self, architecture):
        self.architecture = architecture
        self.metadata = [["general.architecture", "text", architecture]]
        self.tensors = []
        self.weights = {}

    def keys(self, kind, **values):
        for key, value in values.items():
            self.metadata.append([f"{self.architecture}.{key.replace('__', '.')}", kind, value])

    def add(self, name, shape, theirs, middle=0.0, spread=None, change=lambda tensor: tensor):
        """A tensor, as GGUF has it; `change` makes theirs of it. `theirs` may be several names for parts, one after another."""
        spread = spread if spread is not None else 3.0 / math.sqrt(shape[-1])
        self.tensors.append([name, list(reversed(shape)), middle, spread])
        tensor = torch.from_numpy(drawn(name, math.prod(shape), middle, spread).reshape(shape))
        self.weights[theirs] = change(tensor)

    def gain(self, name, theirs, width=WIDTH, middle=1.0, change=lambda tensor: tensor):
        self.add(name, (width,), theirs, middle, 0.2, change)

    def bias(self, name, theirs, width):
        self.add(name, (width,), theirs, 0.0, 0.2)


def apart(heads):
    """GGUF's llama turns neighbouring numbers of a head together, transformers those half a head apart."""

    def change(tensor):
        rest = tensor.shape[1:]
        return tensor.reshape(heads, -1, 2, *rest).transpose(1, 2).reshape(tensor.shape)

    return change


def same(tensor):
    return tensor


def less_one(tensor):
    """Gemma's gains are kept as what is added to 1."""
    return tensor - 1.0


def common(file, blocks, head=WIDTH // HEADS, **more):
    file.keys("u32", context_length=512, embedding_length=WIDTH, block_count=blocks, feed_forward_length=INSIDE)
    file.keys("u32", attention__head_count=HEADS, attention__head_count_kv=KV_HEADS, rope__dimension_count=head, **more)


def attention(file, block, head, turn=lambda heads: same, bias=False):
    for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
        change = turn(heads) if name != "v" else same
        theirs = f"model.layers.{block}.self_attn.{name}_proj"
        file.add(f"blk.{block}.attn_{name}.weight", (heads * head, WIDTH), f"{theirs}.weight", change=change)
        if bias:
            file.bias(f"blk.{block}.attn_{name}.bias", f"{theirs}.bias", heads * head)
    file.add(f"blk.{block}.attn_output.weight", (WIDTH, HEADS * head), f"model.layers.{block}.self_attn.o_proj.weight")


def feed_forward(file, block):
    for name, shape in (("gate", (INSIDE, WIDTH)), ("up", (INSIDE, WIDTH)), ("down", (WIDTH, INSIDE))):
        file.add(f"blk.{block}.ffn_{name}.weight", shape, f"model.layers.{block}.mlp.{name}_proj.weight")


def ends(file, tied=False, change=same):
    file.add("token_embd.weight", (VOCABULARY, WIDTH), "model.embed_tokens.weight", spread=1.0)
    file.gain("output_norm.weight", "model.norm.weight", change=change)
    if not tied:
        file.add("output.weight", (VOCABULARY, WIDTH), "lm_head.weight")


def llama_like(architecture, blocks=2, head=WIDTH // HEADS, turn=lambda heads: same, bias=False, tied=False, norms=False):
    file = File(architecture)
    common(file, blocks, head)
    file.keys("f32", attention__layer_norm_rms_epsilon=EPS, rope__freq_base=10000.0)
    for block in range(blocks):
        file.gain(f"blk.{block}.attn_norm.weight", f"model.layers.{block}.input_layernorm.weight")
        attention(file, block, head, turn, bias)
        if norms:
            for name in ("q", "k"):
                theirs = f"model.layers.{block}.self_attn.{name}_norm.weight"
                file.gain(f"blk.{block}.attn_{name}_norm.weight", theirs, head)
        file.gain(f"blk.{block}.ffn_norm.weight", f"model.layers.{block}.post_attention_layernorm.weight")
        feed_forward(file, block)
    ends(file, tied)
    return file


def settings(blocks=2, tied=False, theta=10000.0, rope=None, **more):
    return dict(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INSIDE, num_hidden_layers=blocks,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=512, rms_norm_eps=EPS,
        tie_word_embeddings=tied, rope_parameters=rope or {"rope_type": "default", "rope_theta": theta},
        attn_implementation="eager", bos_token_id=1, eos_token_id=2, pad_token_id=0, **more,
    )


def llama():
    file = llama_like("llama", turn=apart)
    return file, transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings()))


def llama_3_2():
    """Tied, and with the frequencies scaled as Llama 3.2 does: GGUF has a factor for each in a tensor of its own."""
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    file = llama_like("llama", turn=apart, tied=True)
    config = transformers.LlamaConfig(**settings(tied=True, rope=rope))
    factors = []
    for place in range(WIDTH // HEADS // 2):
        turn = 2 * math.pi * 10000.0 ** (2 * place / (WIDTH // HEADS))
        low, high = 64 / 1.0, 64 / 4.0
        if turn < high:
            factors.append(1.0)
        elif turn > low:
            factors.append(32.0)
        else:
            smooth = (64 / turn - 1.0) / (4.0 - 1.0)
            factors.append(1.0 / ((1.0 - smooth) / 32.0 + smooth))
    file.metadata.append(["stored", "rope_freqs.weight", factors])
    return file, transformers.LlamaForCausalLM(config)


def deepseek_coder():
    """The llama layout, positions divided by 4."""
    file = llama_like("llama", turn=apart)
    file.keys("text", rope__scaling__type="linear")
    file.keys("f32", rope__scaling__factor=4.0)
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    return file, transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings(rope=rope)))


def mistral():
    """The llama layout, heads of a width of their own."""
    file = llama_like("llama", head=16, turn=apart)
    file.keys("u32", attention__key_length=16, attention__value_length=16)
    config = transformers.MistralConfig(**settings(head_dim=16, sliding_window=None))
    return file, transformers.MistralForCausalLM(config)


def mixtral():
    file = File("llama")
    common(file, 2, expert_count=4, expert_used_count=2)
    file.keys("f32", attention__layer_norm_rms_epsilon=EPS, rope__freq_base=10000.0)
    for block in range(2):
        own = f"model.layers.{block}"
        file.gain(f"blk.{block}.attn_norm.weight", f"{own}.input_layernorm.weight")
        attention(file, block, WIDTH // HEADS, apart)
        file.gain(f"blk.{block}.ffn_norm.weight", f"{own}.post_attention_layernorm.weight")
        file.add(f"blk.{block}.ffn_gate_inp.weight", (4, WIDTH), f"{own}.mlp.gate.weight")
        for name, shape in (("gate", (4, INSIDE, WIDTH)), ("up", (4, INSIDE, WIDTH)), ("down", (4, WIDTH, INSIDE))):
            file.add(f"blk.{block}.ffn_{name}_exps.weight", shape, f"{own}.mlp.experts.{name}")
        gate, up = (file.weights.pop(f"{own}.mlp.experts.{name}") for name in ("gate", "up"))
        file.weights[f"{own}.mlp.experts.gate_up_proj"] = torch.cat([gate, up], dim=1)
        file.weights[f"{own}.mlp.experts.down_proj"] = file.weights.pop(f"{own}.mlp.experts.down")
    ends(file)
    config = transformers.MixtralConfig(**settings(num_local_experts=4, num_experts_per_tok=2, sliding_window=None))
    return file, transformers.MixtralForCausalLM(config)


def smollm3():
    """Every fourth layer knows no positions."""
    file = llama_like("smollm3", blocks=4, turn=apart, tied=True)
    config = transformers.SmolLM3Config(**settings(blocks=4, tied=True, no_rope_layer_interval=4))
    return file, transformers.SmolLM3ForCausalLM(config)


def qwen2():
    file = llama_like("qwen2", bias=True, tied=True)
    return file, transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**settings(tied=True)))


def qwen3():
    file = llama_like("qwen3", head=16, norms=True, tied=True)
    file.keys("u32", attention__key_length=16, attention__value_length=16)
    return file, transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**settings(tied=True, head_dim=16)))


def gemma(architecture, blocks, norms):
    file = File(architecture)
    common(file, blocks, 16, attention__key_length=16, attention__value_length=16, attention__sliding_window=8)
    file.keys("f32", attention__layer_norm_rms_epsilon=EPS)
    for block in range(blocks):
        own = f"model.layers.{block}"
        file.gain(f"blk.{block}.attn_norm.weight", f"{own}.input_layernorm.weight", change=less_one)
        attention(file, block, 16)
        if norms:
            for name in ("q", "k"):
                theirs = f"{own}.self_attn.{name}_norm.weight"
                file.gain(f"blk.{block}.attn_{name}_norm.weight", theirs, 16, change=less_one)
        for ours, theirs in (
            ("post_attention_norm", "post_attention_layernorm"),
            ("ffn_norm", "pre_feedforward_layernorm"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ):
            file.gain(f"blk.{block}.{ours}.weight", f"{own}.{theirs}.weight", change=less_one)
        feed_forward(file, block)
    ends(file, tied=True, change=less_one)
    return file


def gemma2():
    file = gemma("gemma2", 4, False)
    # Tight, so that they show.
    file.keys("f32", attn_logit_softcapping=2.0, final_logit_softcapping=3.0, rope__freq_base=10000.0)
    config = transformers.Gemma2Config(**settings(
        blocks=4, tied=True, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh",
    ))
    return file, transformers.Gemma2ForCausalLM(config)


def gemma3():
    """Five layers that look back on few tokens, and one that looks back on all, each with a base of its own."""
    file = gemma("gemma3", 7, True)
    file.keys("f32", rope__freq_base=1000000.0)
    rope = {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    config = transformers.Gemma3TextConfig(**settings(
        blocks=7, tied=True, rope=rope, head_dim=16, query_pre_attn_scalar=16, sliding_window=8,
        hidden_activation="gelu_pytorch_tanh",
    ))
    return file, transformers.Gemma3ForCausalLM(config)


def phi3():
    file = File("phi3")
    common(file, 2, attention__sliding_window=512, rope__scaling__original_context_length=512)
    file.keys("f32", attention__layer_norm_rms_epsilon=EPS, rope__freq_base=10000.0)
    head = WIDTH // HEADS
    for block in range(2):
        own = f"model.layers.{block}"
        file.gain(f"blk.{block}.attn_norm.weight", f"{own}.input_layernorm.weight")
        file.add(f"blk.{block}.attn_qkv.weight", ((HEADS + 2 * KV_HEADS) * head, WIDTH), f"{own}.self_attn.qkv_proj.weight")
        file.add(f"blk.{block}.attn_output.weight", (WIDTH, WIDTH), f"{own}.self_attn.o_proj.weight")
        file.gain(f"blk.{block}.ffn_norm.weight", f"{own}.post_attention_layernorm.weight")
        file.add(f"blk.{block}.ffn_up.weight", (2 * INSIDE, WIDTH), f"{own}.mlp.gate_up_proj.weight")
        file.add(f"blk.{block}.ffn_down.weight", (WIDTH, INSIDE), f"{own}.mlp.down_proj.weight")
    ends(file)
    config = transformers.Phi3Config(**settings(sliding_window=None, original_max_position_embeddings=512))
    return file, transformers.Phi3ForCausalLM(config)


def phi2():
    """Layer norms with biases, attention beside the feed-forward, half of each head turned."""
    file = File("phi2")
    head = WIDTH // HEADS
    common(file, 2)
    file.metadata = [entry for entry in file.metadata if entry[0] not in ("phi2.rope.dimension_count",
                                                                        "phi2.attention.head_count_kv")]
    file.keys("u32", rope__dimension_count=head // 2, attention__head_count_kv=HEADS)
    file.keys("f32", attention__layer_norm_epsilon=EPS)
    for block in range(2):
        own = f"model.layers.{block}"
        file.gain(f"blk.{block}.attn_norm.weight", f"{own}.input_layernorm.weight")
        file.bias(f"blk.{block}.attn_norm.bias", f"{own}.input_layernorm.bias", WIDTH)
        for name in ("q", "k", "v"):
            theirs = f"{own}.self_attn.{name}_proj"
            file.add(f"blk.{block}.attn_{name}.weight", (WIDTH, WIDTH), f"{theirs}.weight")
            file.bias(f"blk.{block}.attn_{name}.bias", f"{theirs}.bias", WIDTH)
        for ours, theirs, shape in (
            ("attn_output", "self_attn.dense", (WIDTH, WIDTH)),
            ("ffn_up", "mlp.fc1", (INSIDE, WIDTH)),
            ("ffn_down", "mlp.fc2", (WIDTH, INSIDE)),
        ):
            file.add(f"blk.{block}.{ours}.weight", shape, f"{own}.{theirs}.weight")
            file.bias(f"blk.{block}.{ours}.bias", f"{own}.{theirs}.bias", shape[0])
    file.add("token_embd.weight", (VOCABULARY, WIDTH), "model.embed_tokens.weight", spread=1.0)
    file.gain("output_norm.weight", "model.final_layernorm.weight")
    file.bias("output_norm.bias", "model.final_layernorm.bias", WIDTH)
    file.add("output.weight", (VOCABULARY, WIDTH), "lm_head.weight")
    file.bias("output.bias", "lm_head.bias", VOCABULARY)
    more = settings(rope={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}, layer_norm_eps=EPS,
                    partial_rotary_factor=0.5, hidden_act="gelu_new")
    more["num_key_value_heads"] = HEADS
    del more["rms_norm_eps"]
    return file, transformers.PhiForCausalLM(transformers.PhiConfig(**more))


class Rounded(torch.nn.Module):
    """An activation as ggml reads its GELU from a table: what goes in and what comes out have 16 bits."""

    def __init__(self, exact):
        super().__init__()
        self.exact = exact

    def forward(self, x):
        return self.exact(x.half().float()).half().float()


def moved_by_table(model, logits):
    """How far that moves what Gemma says: the tolerance of its test has to allow it."""
    for layer in model.model.layers:
        layer.mlp.act_fn = Rounded(layer.mlp.act_fn)
    with torch.no_grad():
        moved = model(torch.tensor([TOKENS]), use_cache=False).logits[0].float().numpy()
    return float(np.abs(moved - logits)[ROWS].max())


def loaded(of):
    file, model = of()
    theirs = model.state_dict()
    if "lm_head.weight" in theirs and "lm_head.weight" not in file.weights:
        file.weights["lm_head.weight"] = file.weights["model.embed_tokens.weight"]
    model.load_state_dict(file.weights, strict=True)
    model.eval()
    return file, model


def said(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS]), use_cache=False).logits[0].float().numpy()


def rows(logits):
    return {str(row): [round(float(number), 5) for number in logits[row]] for row in ROWS}


def save(name, golden):
    source = f"make.py, torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    with open(os.path.join(HERE, f"{name}.json"), "w") as output:
        fields = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in {"source": source, **golden}.items()]
        output.write("{\n" + ",\n".join(fields) + "\n}\n")


def make(name, of):
    file, model = loaded(of)
    logits = said(model)
    stored = [entry[1:] for entry in file.metadata if entry[0] == "stored"]
    golden = {
        "metadata": [entry for entry in file.metadata if entry[0] != "stored"],
        "tensors": file.tensors,
        "stored": stored,
        "tokens": TOKENS,
        "logits": rows(logits),
    }
    save(name, golden)
    print(name, "spread", round(float(logits.std()), 3))
    if name.startswith("gemma"):
        print(name, "moved by a GELU of 16 bits", round(moved_by_table(model, logits), 5))


def adapter(name, config, modules, model):
    """A LoRA adapter of some of a model's modules, in PEFT's words, and what the model says with it."""
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / math.sqrt(rank) if config["use_rslora"] else alpha / rank
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tensors = []
    for layer in range(model.config.num_hidden_layers):
        for module in modules:
            module = f"model.layers.{layer}.{module}"
            weight = model.get_submodule(module).weight
            sides = []
            for side, shape in (("A", (rank, weight.shape[1])), ("B", (weight.shape[0], rank))):
                key = f"base_model.model.{module}.lora_{side}.weight"
                spread = 3.0 / math.sqrt(shape[1]) if side == "A" else 1.0 / math.sqrt(rank)
                tensors.append([key, shape, spread])
                sides.append(torch.from_numpy(drawn(f"{name}/{key}", math.prod(shape), 0.0, spread).reshape(shape)))
            with torch.no_grad():
                weight += scale * (sides[1] @ sides[0])
    logits = said(model)
    model.load_state_dict(before)
    moved = float(np.abs(logits - said(model))[ROWS].max())
    print(name, "moves a logit by up to", round(moved, 3))
    return {"name": name, "config": config, "tensors": tensors, "logits": rows(logits)}


def adapters(of):
    """One of all matrices, and one of some whose scale is the root of its rank's."""
    _, model = loaded(of)
    fused = of is phi3
    attention = ["self_attn.qkv_proj"] if fused else [f"self_attn.{name}_proj" for name in "qkv"]
    inside = ["mlp.gate_up_proj"] if fused else ["mlp.gate_proj", "mlp.up_proj"]
    every = attention + ["self_attn.o_proj"] + inside + ["mlp.down_proj"]
    some = attention + ["mlp.down_proj"]

    def config(r, alpha, rslora):
        return {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": r, "lora_alpha": alpha, "use_rslora": rslora,
                "bias": "none", "use_dora": False, "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {},
                "fan_in_fan_out": False, "init_lora_weights": True}

    told = [adapter("one", config(4, 8, False), every, model), adapter("two", config(2, 3, True), some, model)]
    save(f"adapter_{of.__name__}", {"base": of.__name__, "adapters": told})


if __name__ == "__main__":
    torch.manual_seed(0)
    for of in (llama, llama_3_2, deepseek_coder, mistral, mixtral, smollm3, qwen2, qwen3, gemma2, gemma3, phi2, phi3):
        make(of.__name__, of)
    for of in (llama, smollm3, qwen2, qwen3, gemma2, phi3):
        adapters(of)
