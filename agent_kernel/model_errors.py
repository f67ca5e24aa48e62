"""What an endpoint's refusal means, and what a person can do about it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent_kernel.errors import ContextOverflow, ModelError

_RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_RETRYABLE_KIND = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})
_KIND_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_TOO_LONG = re.compile(
    r"prompt is too long|too many (input )?tokens|context (window|length|limit|size)|maximum context",
    re.IGNORECASE,
)
_MOST = 500


def refused(status: int, body: Any, headers: Mapping[str, str], model: str, endpoint: str) -> ModelError:
    """The error for an HTTP answer that is not an answer of the model."""
    kind, said = _said(body)
    kind = kind or _KIND_OF_STATUS.get(status, "api_error")
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(said)):
        return ContextOverflow(
            f"The request is too long for {model}: {said or 'too large'}.", kind=kind, status=status
        )
    should = headers.get("x-should-retry")
    retryable = should == "true" or (should != "false" and status in _RETRYABLE_STATUS)
    return ModelError(
        f"The model's endpoint answered {status} ({kind}){': ' + _sentence(said) if said else '.'}",
        kind=kind,
        status=status,
        retryable=retryable,
        retry_after=_retry_after(headers),
        hint=_hint(status, said, model, endpoint),
    )


def broken_off(kind: str, said: str) -> ModelError:
    """The error for an `error` event inside a stream that began well (status 200)."""
    if _TOO_LONG.search(said):
        return ContextOverflow(f"The request is too long: {said}", kind=kind, status=200)
    return ModelError(
        f"The model broke off its answer ({kind}): {_sentence(_short(said))}",
        kind=kind,
        status=200,
        retryable=kind in _RETRYABLE_KIND,
    )


def stream_broken(detail: str) -> ModelError:
    return ModelError(f"The model's answer was cut off: {detail}.", kind="stream_broken", retryable=True)


def unreachable(error: BaseException, endpoint: str) -> ModelError:
    """The error for a connection that could not be made."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ModelError(
                f"The certificate of {endpoint} is not trusted: {cause.verify_message}.",
                kind="tls",
                hint="Is this the right address? A company's own certificates go into SSL_CERT_FILE.",
            )
    if any(isinstance(cause, ssl.SSLError) for cause in _chain(error)):
        detail, hint = "the TLS handshake failed", "Does this address speak https?"
    elif any(isinstance(cause, socket.gaierror) for cause in _chain(error)):
        detail, hint = "its name is not known", "Check the spelling and the network."
    elif any(isinstance(cause, ConnectionRefusedError) for cause in _chain(error)):
        detail, hint = "nothing listens there", "Is the server running?"
    elif any("Timeout" in type(cause).__name__ for cause in _chain(error)):
        detail, hint = "it did not answer in time", "Check the network and any proxy."
    else:
        detail, hint = _short(str(next(iter(_causes(error)), error))), "Check the network and any proxy."
    return ModelError(
        f"The model's endpoint {endpoint} cannot be reached: {detail}.",
        kind="unreachable",
        retryable=True,
        hint=hint,
    )


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    return text


def _said(body: Any) -> tuple[str, str]:
    """The error's type and text; endpoints differ in where they put them."""
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            return str(error.get("type") or ""), _short(str(error.get("message") or ""))
        return "", _short(str(error))
    text = str(body or "")
    if "<html" in text.lower():
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title.group(1) if title else "a web page"
    return "", _short(text)


def _hint(status: int, said: str, model: str, endpoint: str) -> str:
    if status == 401:
        return "The key was not accepted: check ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN)."
    if status == 402:
        return "The account has no credit left."
    if status == 403:
        return "The key may not use this model or endpoint."
    if status == 404 and (model in said or "model" in said.lower()):
        return f"Is the model's name {model!r} right? GET {endpoint}/v1/models lists the names known there."
    if status in (404, 405):
        return f"Requests go to {endpoint}/v1/messages: is ANTHROPIC_BASE_URL right?"
    return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds. An HTTP date is not worth reading: the loop backs off on its own."""
    for name, scale in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / scale)
        except (KeyError, ValueError):
            continue
    return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST else f"{text[:_MOST]} […]"


def _sentence(text: str) -> str:
    """With its full stop: a hint may follow."""
    return text if text.endswith((".", "!", "?", "]", ":")) else f"{text}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    following = error.__cause__ or error.__context__
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _chain(error: BaseException) -> list[BaseException]:
    return [error, *_causes(error)]
