"""Fuzz the CBOR decoder, guided by coverage: `python -m tests.fuzz.cbor -max_total_time=60`.

It needs `atheris`, which is not in the requirements. Both codecs decode an input to the same value, or both raise
`CborError`. An encoded value is decoded to an equal value, also by another implementation.
"""

import sys

import atheris

with atheris.instrument_imports(include=["sync.entities.cbor", "moat_client.v1.cbor"]):
    import cbor2

    from moat_client.v1 import cbor as clients
    from sync.entities import cbor as server


def one(data: bytes) -> None:
    """Try one input."""
    found = [_decoded(codec, data) for codec in (server, clients)]
    if repr(found[0]) != repr(found[1]):
        raise AssertionError("the codecs differ")
    if isinstance(found[0], server.CborError):
        return
    encoded = server.encode(found[0])
    if server.encode(server.decode(encoded)) != encoded:
        raise AssertionError("it is not read back the same")
    try:
        cbor2.loads(encoded)
    except (cbor2.CBORDecodeError, TypeError):
        return  # tags it has opinions about, and keys that Python cannot hash


def _decoded(codec: object, data: bytes) -> object:
    try:
        return codec.decode(data)  # type: ignore[attr-defined]
    except codec.CborError as error:  # type: ignore[attr-defined]
        return error


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
