"""CSV parsing: kinds from values, names from headers, and precise errors for bad files."""

import gzip
import zipfile
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.names import field_name_problem
from metadata.schema import FieldSpec, ObjectSpec
from sync.csv.cells import reader_of
from sync.csv.columns import BadColumns, plan_existing, plan_new, slug
from sync.csv.inference import ColumnGuess, guess
from sync.csv.rows import BadCell, RowReader, key_columns
from sync.csv.source import BadFile, open_csv

JOB = ObjectSpec(
    "job",
    "jobs",
    fields=(FieldSpec("title", "text", "Title"), FieldSpec("price", "decimal", "Price", decimal_places=2)),
)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "22", "-3", "0"], "integer"),
        (["9007199254740991"], "integer"),
        (["9007199254740992"], "text"),
        (["007", "12"], "text"),
        (["+49301234"], "text"),
        (["1.50", "20.00", "-3.25"], "decimal"),
        (["1.5", "2.25", "3"], "real"),
        (["0.1", "0.2"], "real"),
        (["10.0", "10.5"], "real"),
        (["1.230", "10.500"], "decimal"),
        (["1e5", "2.5"], "real"),
        (["1", "2.5"], "real"),
        (["1.23456789012345678", "2.00000000000000000"], "real"),
        (["true", "FALSE", "yes"], "boolean"),
        (["Y", "N"], "text"),
        (["2013-01-01", "2024-02-29"], "date"),
        (["2013-02-30"], "text"),
        (["2013-01-01T10:00:00Z", "2013-01-01 11:30"], "datetime"),
        (["2013-01-01", "2013-01-01T10:00:00Z"], "text"),
        (["6f9619ff-8b86-d011-b42d-00cf4fc964ff"], "uuid"),
        (["1", "x"], "text"),
        (["1_000"], "text"),
        (["١٢"], "text"),
        (["nan", "1.0"], "text"),
        (["inf"], "text"),
        ([], "text"),
        (["NA", ""], "text"),
    ],
)
def test_a_column_gets_the_narrowest_kind_that_loses_nothing(values, kind):
    assert guess(values, nulls=frozenset({"", "NA"})).kind == kind


def test_a_decimal_column_says_how_many_places():
    assert guess(["1.500", "2.250"]).decimal_places == 3


def test_a_word_among_numbers_is_named_with_its_line():
    column = guess(["1", "2", "n/a", "4"])
    assert column.kind == "text"
    assert column.spoiler == (4, "n/a")


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1))
def test_whole_numbers_come_back_as_they_were(numbers):
    column = guess([str(n) for n in numbers])
    assert column.kind == "integer"
    assert [reader_of("integer")(str(n)) for n in numbers] == numbers


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_real_numbers_come_back_as_they_were(numbers):
    texts = [repr(n) for n in numbers]
    if guess(texts).kind == "real":
        assert [reader_of("real")(t) for t in texts] == numbers


@given(st.lists(st.dates(min_value=date(1, 1, 1)).map(date.isoformat), min_size=1))
def test_dates_are_told(values):
    assert guess(values).kind == "date"


@given(st.lists(st.text(max_size=40), min_size=1))
def test_no_text_breaks_the_guess(values):
    assert guess(values).kind in {"text", "integer", "real", "decimal", "boolean", "date", "datetime", "uuid"}


@given(st.text(max_size=80))
def test_every_header_becomes_a_legal_name(header):
    name = slug(header, 3)
    assert name in ("id", "object_type", "status") or field_name_problem(name) is None


def test_evil_headers_become_fields_with_a_note():
    plan = plan_new(["Straße / Nr.", "select", "", "2013", 'x"; DROP TABLE jobs; --', "a__b", "version"])
    assert [c.target for c in plan.columns] == [
        "strae_nr",
        "select_value",
        "column_3",
        "c_2013",
        "x_drop_table_jobs",
        "a_b",
        "version_value",
    ]
    assert len(plan.notes) == 7


def test_headers_that_become_alike_are_told_apart():
    assert [c.target for c in plan_new(["a b", "a-b", "A_B"]).columns] == ["a_b", "a_b_2", "a_b_3"]


def test_a_header_that_repeats_itself_is_refused():
    with pytest.raises(BadColumns, match="duplicate column names: 'price'"):
        plan_new(["price", "title", "price"])


def test_columns_find_published_fields_by_name_and_by_label():
    plan = plan_existing(["id", "TITLE", "Price", "version"], JOB)
    assert [(c.header, c.target) for c in plan.columns] == [("id", "id"), ("TITLE", "title"), ("Price", "price")]


def test_a_column_without_a_field_is_refused_with_what_to_do():
    with pytest.raises(BadColumns, match=r"no field 'colour'.*price, title.*--map.*--skip"):
        plan_existing(["title", "colour"], JOB)


def test_one_column_can_fill_two_fields():
    plan = plan_new(["tailnum"], mapping=[("tailnum", "tailnum"), ("tailnum", "plane")])
    assert [c.target for c in plan.columns] == ["tailnum", "plane"]


def test_two_columns_cannot_fill_one_field():
    with pytest.raises(BadColumns, match="more than one column"):
        plan_existing(["title", "price"], JOB, mapping=[("price", "title")])


def _reader(**given):
    plan = plan_existing(["title", "price"], JOB)
    return RowReader(plan, JOB, 2, "jobs.csv", key_columns(plan, given.pop("key", [])), **given)


def test_a_key_of_several_columns_never_makes_one_id_of_two():
    reader = _reader(key=["title", "price"], nulls=frozenset())
    ids = {reader.read(n, cells)[0] for n, cells in enumerate([["a~", "1"], ["a", "~1"[1:]], ["a%7E", "1"]])}
    assert len(ids) == 3


def test_a_row_without_a_key_has_the_same_id_each_time():
    assert _reader().read(7, ["a", "1"]) == _reader().read(7, ["a", "1"])
    assert _reader().read(7, ["a", "1"])[0] != _reader().read(8, ["a", "1"])[0]


def test_a_bad_cell_is_named_with_its_column():
    with pytest.raises(BadCell, match="'cheap' is not a number") as caught:
        _reader().read(7, ["a", "cheap"])
    assert caught.value.column == "price"


def test_a_ragged_row_is_refused():
    with pytest.raises(BadCell, match="the row has 3 cells; the header has 2"):
        _reader().read(7, ["a", "1", "x"])


def _rows(path, **options):
    with open_csv(path, **options) as opened:
        return opened.header, list(opened.rows)


def test_rows_are_numbered_by_the_line_they_begin_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"two\nlines"\n\n3,4\n')
    assert _rows(path) == (["a", "b"], [(2, ["1", "two\nlines"]), (5, ["3", "4"])])


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_read(tmp_path, ending):
    path = tmp_path / "a.csv"
    path.write_bytes(ending.join(["a,b", "1,2", "3,4"]).encode())
    assert [cells for _, cells in _rows(path)[1]] == [["1", "2"], ["3", "4"]]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid;name\n1;x\n")
    assert _rows(path) == (["id", "name"], [(2, ["1", "x"])])


def test_packed_files_are_read(tmp_path):
    with gzip.open(tmp_path / "a.csv.gz", "wt") as out:
        out.write("a\n1\n")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
    assert _rows(tmp_path / "a.csv.gz") == _rows(tmp_path / "a.zip") == (["a"], [(2, ["1"])])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file or its first line is empty"),
        (b"\n\na,b\n", "its first line is"),
        (b"a,b\n1,2\ncaf\xe9,4\n", r"line 3: not valid utf-8.*cp1252"),
        (b"caf\xe9\n1\n", r"line 1: not valid utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\x00\n", "not a text file"),
        (b'a,b\n1,2\n"open,4\n5,6\n', r"line 3: .*quotation mark"),
        (b'a,b\n"x"y,2\n', r"line 2: .*quotation mark"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=message):
        _rows(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadFile, match="file not found"):
        _rows(tmp_path / "none.csv")


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 10_000)[:40])
    with pytest.raises(BadFile, match="damaged"):
        _rows(path)


def test_another_encoding_is_read_when_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("name\ncafé\n".encode("cp1252"))
    assert _rows(path, encoding="cp1252")[1] == [(2, ["café"])]


def test_many_distinct_values_cost_bounded_memory():
    column = ColumnGuess()
    for start in range(0, 60_000, 5000):
        lines = range(start, start + 5000)
        column.feed([str(n) for n in lines], lines, frozenset())
    assert column.kind == "integer"
    assert len(column._known) <= 25_000
