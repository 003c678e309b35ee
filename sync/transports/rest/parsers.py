"""Parsers as strict as the wire protocol: bounded size and depth, no repeated keys, no NaN."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from sync import metrics
from sync.transports.rest.conf import rest_settings
from sync.transports.rest.errors import RestCode, RestError
from sync.wire.codes import Code
from sync.wire.strict_json import NotStrict, TooManyItems, loads


class StrictJSONParser(BaseParser):
    """`application/json`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the value of the body. Raises `bad_request` or `too_large`."""
        settings = rest_settings()
        data = stream.read(settings.rest_body + 1)
        if len(data) > settings.rest_body:
            metrics.limit_rejections.labels("rest_body").inc()
            raise RestError(Code.TOO_LARGE, f"The body exceeds {settings.rest_body} bytes.")
        try:
            return loads(data.decode(), depth=settings.rest_depth, items=settings.rest_items)
        except UnicodeDecodeError:
            raise RestError(RestCode.BAD_REQUEST, "The body is not UTF-8.") from None
        except TooManyItems:
            metrics.limit_rejections.labels("items").inc()
            raise RestError(Code.TOO_LARGE, f"The body exceeds {settings.rest_items} values and keys.") from None
        except NotStrict as error:
            raise RestError(
                RestCode.BAD_REQUEST, f"The body is {error}." if str(error).startswith("n") else f"{error}."
            ) from None


class JSONPatchParser(StrictJSONParser):
    """`application/json-patch+json` (RFC 6902)."""

    media_type = "application/json-patch+json"


def is_patch(request: Request) -> bool:
    """Whether the body is a JSON Patch rather than fields to merge."""
    return (request.content_type or "").partition(";")[0].strip().lower() == JSONPatchParser.media_type


def body_object(request: Request) -> dict[str, Any]:
    """Return the body if it is an object. Raises `bad_request` otherwise."""
    if not isinstance(request.data, dict) or not all(isinstance(key, str) for key in request.data):
        raise RestError(RestCode.BAD_REQUEST, "The body must be a JSON object.")
    return dict(request.data)


def text_of(body: dict[str, Any], key: str, *, longest: int, default: str | None = None) -> str:
    """Return a text member of a body.

    Raises `bad_request` if it is missing, not text, empty, too long, or contains a NUL.
    """
    value = body.get(key, default)
    if not isinstance(value, str) or not value or len(value) > longest or "\x00" in value:
        raise RestError(RestCode.BAD_REQUEST, f"{key} must be text of 1 to {longest} characters.", field=key)
    return value
