"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from shizuku.errors import ShizukuError

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(ShizukuError):
    """A request that is answered with an error status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def kind(self) -> str:
        """OpenAI's name for this sort of error."""
        return _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> dict[str, Any]:
        """The JSON object that says it."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), status_code=self.status, headers=self.headers)


def bad_value(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A parameter that can't be what it is."""
    return ApiError(400, message, param=param, code=code)


def unsupported(param: str, why: str) -> ApiError:
    """A parameter that would be ignored, though it changes what is asked for."""
    return ApiError(400, f"`{param}` is not supported here: {why}", param=param, code="unsupported_parameter")


def from_validation(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a body, in OpenAI's terms."""
    found = min(error.errors(include_url=False, include_input=False), key=lambda e: e["type"] != "missing")
    path = [str(part) for part in found["loc"] if not str(part).startswith(("function-", "tagged-"))]
    param = ".".join(path) or None
    if found["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {found['msg']}", code="invalid_json")
    if found["type"] == "extra_forbidden":
        return ApiError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if found["type"] == "missing":
        return ApiError(
            400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    where = f"'{param}': " if param else ""
    return ApiError(400, f"Invalid value for {where}{found['msg']}.", param=param, code="invalid_value")
