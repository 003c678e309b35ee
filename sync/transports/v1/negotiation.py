"""Content negotiation: decode requests and encode responses as CBOR or JSON, optionally gzip."""

import base64
import gzip
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from sync.entities.cbor import CborError, Limits, TooManyItems, decode, encode
from sync.transports.v1.errors import V1Code, V1Error, invalid
from sync.transports.v1.messages import CBOR, JSON
from sync.wire import strict_json
from sync.wire.limits import MESSAGE_ITEMS, V1_DEPTH

_PACK_FROM: Final = 1024


def read(request: HttpRequest, limit: int, items: int = MESSAGE_ITEMS) -> Any:
    """Return the decoded request body.

    Raises `V1Error`: 413 beyond `limit` bytes (unpacked) or `items`, 415, 400.
    """
    kind = (request.content_type or CBOR).lower()
    if kind not in (CBOR, JSON, "application/octet-stream"):
        raise V1Error(
            V1Code.INVALID_REQUEST,
            f"Send {CBOR} or {JSON}.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            field="Content-Type",
        )
    data = _unpacked(request, _bytes(request, limit), limit)
    if kind == JSON:
        try:
            return strict_json.loads(data.decode(), depth=V1_DEPTH, items=items)
        except strict_json.TooManyItems:
            raise _too_many_items(items) from None
        except ValueError as error:
            raise invalid(f"The body is not valid JSON: {error}") from None
    try:
        return decode(data, Limits(size=limit, depth=V1_DEPTH, items=items))
    except TooManyItems:
        raise _too_many_items(items) from None
    except CborError as error:
        raise invalid(f"The body is not valid CBOR: {error}") from None


def _bytes(request: HttpRequest, limit: int) -> bytes:
    try:
        data = request.read(limit + 1)
    except UnreadablePostError:
        raise invalid("The request body was truncated.") from None
    if len(data) > limit:
        raise _too_large(limit)
    return bytes(data)


def _too_many_items(items: int) -> V1Error:
    return V1Error(
        V1Code.INVALID_REQUEST,
        f"The request exceeds {items} values and keys.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        limit="items",
    )


def _too_large(limit: int) -> V1Error:
    return V1Error(
        V1Code.INVALID_REQUEST,
        f"The request exceeds {limit} bytes.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        limit="v1_body",
    )


def _unpacked(request: HttpRequest, data: bytes, limit: int) -> bytes:
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding == "identity":
        return data
    if coding not in ("gzip", "x-gzip"):
        field = "Content-Encoding"
        raise V1Error(
            V1Code.INVALID_REQUEST,
            "Content-Encoding must be gzip or absent.",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            field=field,
        )
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        whole = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise invalid(f"The body is not valid gzip: {error}") from None
    if len(whole) > limit:
        raise _too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise invalid("The body must be exactly one complete gzip stream.")
    return whole


def wants_json(request: HttpRequest) -> bool:
    """Whether to respond in JSON: by `Accept`, else by the request's type, else for a GET."""
    weights = {CBOR: 0.0, JSON: 0.0}
    for part in request.headers.get("Accept", "").split(","):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _quality(parameters))
    if weights[CBOR] != weights[JSON]:
        return weights[JSON] > weights[CBOR]
    sent = (request.content_type or "").lower()
    return sent == JSON or (sent != CBOR and request.method in ("GET", "HEAD"))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def respond(request: HttpRequest, value: Mapping[str, Any], status: int = 200) -> HttpResponse:
    """Return a value in the caller's encoding, compressed if accepted and large enough."""
    as_json = wants_json(request)
    data = to_json(value) if as_json else encode(dict(value))
    packed = len(data) >= _PACK_FROM and "gzip" in request.headers.get("Accept-Encoding", "").lower()
    response = HttpResponse(
        gzip.compress(data, 5) if packed else data, content_type=JSON if as_json else CBOR, status=status
    )
    if packed:
        response["Content-Encoding"] = "gzip"
    response["Vary"] = "Accept, Accept-Encoding, Content-Type"
    response["Cache-Control"] = "no-store"
    return response


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return a message as JSON on one line. Byte strings become base64 text."""
    return orjson.dumps(value, default=_bytes_as_text)


def _bytes_as_text(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
