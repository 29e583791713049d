"""A Llama shape with random weights as one GGUF file: for sizes at which only speed is of interest.

python benchmarks/random_model.py random-1b-q8_0.gguf --type q8_0 [--model TOKENIZERS_MODEL]
python benchmarks/random_model.py random-1b-f16.gguf --type f16
llama-quantize random-1b-f16.gguf random-1b-q4_k_m.gguf Q4_K_M

The defaults are about a billion parameters (TinyLlama's widths, tied embeddings). llama.cpp opens no file
without a tokenizer, so it gets another model's. Making it takes float32's four bytes a parameter of memory.
"""

import argparse
from pathlib import Path

import torch

import shizuku
from shizuku.checkpoints.gguf import FILE_TYPES, write_gguf
from shizuku.models.decoder import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes


def main() -> None:
    """Write the file and say how large the model is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", default="q8_0", choices=FILE_TYPES)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="whose tokenizer it gets")
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--ffn-width", type=int, default=5632)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tokenizer = shizuku.load(given.model).tokenizer
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, context=2048, width=given.width, layers=given.layers,
        heads=given.heads, kv_heads=given.kv_heads, ffn_width=given.ffn_width, norm_eps=1e-5,
        rope_theta=10000.0, tie_embeddings=True,
    )  # fmt: skip
    random = torch.Generator().manual_seed(given.seed)
    weights = {
        name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=random) * 0.02
        for name, shape in parameter_shapes(config).items()
    }
    write_gguf(given.out, config, weights, tokenizer, given.type)
    parameters = sum(weight.numel() for weight in weights.values())
    print(f"{given.out}: {parameters / 1e9:.2f} B parameters, {given.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
