"""What can be done next with a model that a verb has written."""

from pathlib import Path


def next_verb(model: Path) -> str:
    """The verb to go on with, and its words, for a checkpoint directory or a GGUF file."""
    from shizuku.checkpoints.huggingface import architecture_at
    from shizuku.models.architectures import ABILITIES, architecture

    kind = architecture_at(model) if model.is_dir() else "decoder"
    able = ABILITIES["cached" if kind in ("decoder", "ngram") else architecture(kind).runs]
    if "translate" in able:
        return f'translate {model} "…"'
    if "generate" in able:
        return f'generate {model} --prompt "…"'
    return f"eval {model} --text FILE"
