"""Shizuku LM (雫): a language model's whole life in one small package."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["LanguageModel", "__version__", "load"]

if TYPE_CHECKING:
    from shizuku.language_model import LanguageModel, load


def __getattr__(name: str) -> Any:
    """`load` and `LanguageModel` arrive on first use, so that `import shizuku` does not import torch."""
    if name in ("LanguageModel", "load"):
        import shizuku.language_model as language_model

        return getattr(language_model, name)
    raise AttributeError(f"module 'shizuku' has no attribute {name!r}")
