"""Every error of the HTTP port in one form: ``application/problem+json`` (RFC 9457) with a stable
``code``."""

from http import HTTPStatus
from secrets import token_hex
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

from protocol.errors import Defect, GuildhallError, Invalid, Retry

STATUS = {
    "protocol.invalid": 400,
    "auth.invalid": 401,
    "auth.expired": 401,
    "rate.limited": 429,
    "request.key_missing": 400,
    "internal": 500,
}
"""By code; the others are told by how they end or by their ``retry`` rule."""
ENDS = {"not_found": 404, "forbidden": 403}
CODES = {400: "protocol.invalid", 401: "auth.invalid", 404: "http.not_found"}
"""Of what the HTTP layer itself refuses; else the status's own name."""

log = structlog.get_logger()


class Problem(Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    title: str
    status: int
    code: str
    """Stable; the same codes as on the WebSocket."""
    detail: str
    """For a developer's log, in English."""
    retry: Retry
    trace: str
    """Finds the request in the server's log."""
    retry_after_ms: int | None = None


def answer_error(_request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The one exception handler of the HTTP port."""
    if isinstance(error, HTTPException):
        return _answer(error.status_code, _code(error.status_code), _detail(error), "never")
    if isinstance(error, GuildhallError):
        return _answer(status_of(error), error.code, str(error), error.retry, error.retry_after_ms)
    if isinstance(error, RecursionError):  # the decoder's answer to a body nested a thousand deep
        return _answer(400, Invalid.code, "nested too deep", Invalid.retry)
    log.error("http.failed", exc_info=error)
    return _answer(500, Defect.code, str(Defect()), Defect.retry)


def status_of(error: GuildhallError) -> int:
    """The HTTP status that goes with a refusal."""
    return status_for(error.code, error.retry)


def status_for(code: str, retry: Retry) -> int:
    """The same, by code and rule."""
    if code in STATUS:
        return STATUS[code]
    for end, status in ENDS.items():
        if code.endswith(end):
            return status
    return 409 if retry == "never" else 503


def _detail(error: HTTPException) -> str:
    """What is wrong and, where the body or a parameter is, which field of it."""
    extra = error.extra if isinstance(error.extra, list) else []
    fields = [f"{each.get('key')}: {each.get('message')}" for each in extra if isinstance(each, dict)]
    return "; ".join([error.detail, *fields])


def _code(status: int) -> str:
    return CODES.get(status) or f"http.{HTTPStatus(status).name.lower()}"


def _answer(status: int, code: str, detail: str, retry: Retry, retry_after_ms: int | None = None) -> Response[Problem]:
    trace = structlog.contextvars.get_contextvars().get("trace") or token_hex(8)
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if retry_after_ms is not None:
        headers["retry-after"] = str(-(-retry_after_ms // 1000))  # whole seconds, rounded up
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        retry=retry,
        trace=trace,
        retry_after_ms=retry_after_ms,
    )
    return Response(problem, status_code=status, headers=headers, media_type="application/problem+json")
