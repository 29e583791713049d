"""`shizuku classify`: a model that gives a text a label, trained and used."""

from dataclasses import replace

from shizuku.commands.figures import print_figures
from shizuku.commands.resumable import resumable
from shizuku.tuning.classification.config import ClassifyConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Train the classifier, label texts with it, or with `dry_run` say what training would take."""
    from shizuku.tuning.classification.config import check_work
    from shizuku.tuning.classification.labelling import label_files
    from shizuku.tuning.classification.training import plan, train_classifier
    from shizuku.tuning.run import begin

    check_work(config)
    if not config.data:
        begin(replace(config, report=False))  # labelling writes none
        return label_files(config.model, config)
    if config.dry_run:
        return plan(config)
    with resumable(f"classify {config.model}", config.out):
        result = train_classifier(config).to_json()
    return result | label_files(config.out, config) if config.predict else result


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what training came to and what to do next."""
    print_figures(result, but=("checkpoint", "predictions"))
    if "predictions" in result:
        print(f"\nlabels and their probabilities: {result['predictions']}")
    elif "checkpoint" in result:
        path = result["checkpoint"]
        print(f"\n{path}: label texts with: shizuku classify {path} --predict FILE --out {path}")
