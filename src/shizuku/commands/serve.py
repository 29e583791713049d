"""`shizuku serve`: models behind an OpenAI-compatible API, with a web page."""

from typing import Any

from shizuku.serving.settings import ServerSettings as Config

__all__ = ["Config", "run", "show"]

DEFAULT_MODEL = "smollm2-135m-instruct"


def run(config: Config) -> dict[str, object] | None:
    """Serve until told to end; with `dry_run` what would be served.

    With `json` the one object (url, models, pid) is printed when the server is ready.
    """
    from shizuku.errors import MissingExtraError

    try:
        from shizuku.serving.starting import check, start
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "shizuku":
            raise
        raise MissingExtraError(f"{error.name} is not installed: pip install 'shizuku[serve]'") from error
    names = [*config.models, *config.m] or [DEFAULT_MODEL]
    if config.dry_run:
        return check(names, config)
    start(names, config)
    return None


def show(result: dict[str, Any]) -> None:
    """What a dry run has found."""
    names = ", ".join(result["models"])
    print(f"would serve {names} at {result['url']}, {'with' if result['keys'] else 'without'} an API key")
