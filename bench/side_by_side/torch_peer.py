"""PyTorch's step of fine-tuning on the same weights and shapes: a program of its own, with packages of its own.

`python torch_peer.py MODEL THREADS TOKENS STEPS` prints what the example `encoder_steps` prints. As there, the tables of embeddings stay
as they are, a text is the mean of its tokens brought to unit length, and there is no dropout.
"""

import json
import sys
import time

import torch
from transformers import AutoModel

LABELS, BATCH = 77, 32


def main(model: str, threads: str, tokens: str, steps: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    encoder = AutoModel.from_pretrained(model, add_pooling_layer=False)
    encoder.train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoder.embeddings.requires_grad_(False)
    head = torch.nn.Linear(encoder.config.hidden_size, LABELS)
    trained = [number for number in (*encoder.parameters(), *head.parameters()) if number.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01)
    taken = []
    for step in range(int(steps) + 1):
        ids = torch.randint(1_000, 21_000, (BATCH, int(tokens)))
        targets = torch.randint(0, LABELS, (BATCH,))
        start = time.perf_counter()
        states = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        vectors = torch.nn.functional.normalize(states.mean(dim=1), dim=-1)
        loss = torch.nn.functional.cross_entropy(head(vectors), targets)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        taken.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({"ms": taken[1:], "torch": torch.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
