"""Open a CSV file in any common format and yield its rows with line numbers."""

import codecs
import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from tenants.errors import MoatError

MAX_CELL = 16 * 1024 * 1024
DELIMITERS = ",;\t|"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class BadFile(MoatError):
    """The file cannot be read. The message names the file and, if known, the line."""

    def __init__(self, path: Path, message: str, *, line: int | None = None) -> None:
        where = f"{path.name}, line {line}" if line else path.name
        super().__init__("bad_file", f"{where}: {message}")


@dataclass(frozen=True, slots=True)
class OpenCsv:
    """An open file: header, rows as (line, cells), and how many of `size` bytes were read."""

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]
    position: Callable[[], int]
    size: int


@contextmanager
def open_csv(path: Path, *, encoding: str = "utf-8", delimiter: str = "") -> Iterator[OpenCsv]:
    """Open a `.csv`, a `.csv.gz`, or a `.zip` with one CSV. An empty delimiter is detected.

    Lines count from 1 and include the header. A row that spans lines has the number of its first line. Blank lines
    are skipped. Raises BadFile.
    """
    with _binary(path) as (stream, position, size):
        head = stream.peek(4096)[:4096]
        _refuse_binary(path, head, encoding)
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise BadFile(path, f"unknown encoding {encoding!r}.") from None
        text = io.TextIOWrapper(
            stream, encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, newline=""
        )
        csv.field_size_limit(MAX_CELL)
        reader = _Rows(path, text, encoding, delimiter)
        yield OpenCsv(header=reader.header, rows=iter(reader), position=position, size=size)


class _Rows:
    """Rows of a decoded stream. Decoding and quoting errors become a BadFile with the line."""

    def __init__(self, path: Path, text: io.TextIOWrapper, encoding: str, delimiter: str) -> None:
        self._path, self._encoding = path, encoding
        self._line = 1
        try:
            first = text.readline()
        except UnicodeError as error:
            raise self._undecodable() from error
        if not first.strip():
            raise BadFile(path, "the file or its first line is empty. The first line must contain the column names.")
        self._reader = csv.reader(_prepend(first, text), delimiter=delimiter or _delimiter_of(first), strict=True)
        self.header = [name.strip() for name in next(self._guarded())]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for cells in self._guarded():
            if cells:
                yield self._line, cells

    def _guarded(self) -> Iterator[list[str]]:
        try:
            while True:
                self._line = self._reader.line_num + 1
                cells = next(self._reader, None)
                if cells is None:
                    return
                yield cells
        except csv.Error as error:
            raise BadFile(
                self._path, f"{error}. Check for a missing or undoubled quotation mark.", line=self._line
            ) from error
        except UnicodeError as error:
            raise self._undecodable() from error

    def _undecodable(self) -> BadFile:
        hint = "If the file is cp1252 (Windows) or latin-1, set --encoding."
        return BadFile(
            self._path, f"not valid {self._encoding}. {hint}", line=_first_bad_line(self._path, self._encoding)
        )


def _prepend(first: str, rest: IO[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter_of(header: str) -> str:
    return max(DELIMITERS, key=header.count)


@contextmanager
def _binary(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int], int]]:
    if not path.is_file():
        raise BadFile(path, "file not found.")
    size = path.stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = _only_csv(path, archive)
                with archive.open(member) as inner:
                    yield io.BufferedReader(cast("io.RawIOBase", inner)), inner.tell, member.file_size
        elif path.suffix == ".gz":
            with path.open("rb") as raw, gzip.open(raw) as unpacked:
                yield io.BufferedReader(cast("io.RawIOBase", unpacked)), raw.tell, size
        else:
            with path.open("rb") as raw:
                yield raw, raw.tell, size
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError) as error:
        raise BadFile(path, f"the archive is damaged ({error}).") from error


def _only_csv(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        m
        for m in archive.infolist()
        if m.filename.lower().endswith((".csv", ".tsv", ".txt")) and "__MACOSX" not in m.filename
    ]
    if len(members) != 1:
        raise BadFile(path, f"the archive contains {len(members)} CSV files; it must contain exactly one.")
    return members[0]


def _refuse_binary(path: Path, head: bytes, encoding: str) -> None:
    if encoding.lower().startswith(("utf-16", "utf16", "utf-32", "utf32")):
        return
    if head.startswith(_UTF16_MARKS):
        raise BadFile(path, "the file is UTF-16. Use --encoding utf-16.")
    if b"\0" in head:
        raise BadFile(path, "not a text file: it contains NUL bytes.")


def _first_bad_line(path: Path, encoding: str) -> int | None:
    """Return the first line that cannot be decoded, or None if lines cannot be split undecoded."""
    with _binary(path) as (stream, _, _):
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return None
