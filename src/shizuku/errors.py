"""The errors a user can meet, sorted by what has to be changed.

A message says what was seen, what was expected, and what to change, with the flag's name where one exists.
"""


class ShizukuError(Exception):
    """Root of every error that Shizuku raises on purpose."""


class ConfigError(ShizukuError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another one."""


class DocumentError(ShizukuError, ValueError):
    """Text could not be read, or there is not enough of it."""


class TokenizerError(ShizukuError, ValueError):
    """A tokenizer cannot be trained, loaded or used as asked."""


class VocabularySizeError(TokenizerError):
    """The text does not hold enough different pairs for the vocabulary that was asked for."""

    def __init__(self, message: str, possible: int) -> None:
        super().__init__(message)
        self.possible = possible
        """The largest vocabulary that this text allows."""


class ModelError(ShizukuError, ValueError):
    """A model was called with input that it cannot take."""


class CheckpointError(ShizukuError, ValueError):
    """A model on disk is missing, damaged, foreign, or would not fit."""


class FetchError(ShizukuError, RuntimeError):
    """A model could not be fetched by name."""


class ServerError(ShizukuError, RuntimeError):
    """A server that was asked for something did not answer, or not as it should."""


class TrainingError(ShizukuError, RuntimeError):
    """Training had to stop: a loss or gradient that is not finite, or no room to run."""


class NativeLibraryError(ShizukuError, RuntimeError):
    """The native library is missing, or was built from other sources; the message has the command."""


class MissingExtraError(ShizukuError, ImportError):
    """An optional dependency is needed; the message names the extra that brings it."""


class EngineError(ShizukuError, RuntimeError):
    """An engine broke, or has been closed."""


class EngineBusy(EngineError):
    """An engine's queue is full."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
        """After about so many seconds there may be room again."""
