"""`shizuku embed train`: a model whose vectors of texts that belong together lie near each other."""

from shizuku.commands.figures import print_figures
from shizuku.commands.resumable import resumable
from shizuku.tuning.embedding.config import EmbedTrainConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Train the sentence encoder, or with `dry_run` say what that would take."""
    from shizuku.tuning.embedding.training import plan, train_embedder

    if config.dry_run:
        return plan(config)
    with resumable(f"embed train {config.model}", config.out):
        return train_embedder(config).to_json()


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what training came to and what to do next."""
    print_figures(result, but=("checkpoint",))
    if "checkpoint" in result:
        path = result["checkpoint"]
        print(f"\n{path}: vectors with shizuku.load({str(path)!r}).embed(texts), or: shizuku serve {path}")
