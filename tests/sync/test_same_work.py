"""Tests of I8 by timing: a request about a hidden record costs the same work as one about a missing record.

The tests compare statements one by one and responses byte for byte. On SQLite they also count the steps of its virtual
machine, so that no cost grows with hidden data. `python -m benchmarks existence` measures the time.
"""

import itertools
import json
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from metadata.access_store import access_of
from sync.channels import channel_log
from sync.records import read_transaction, sql
from sync.settle.push import push
from sync.transports.socket import requests
from sync.wire.ops import Actor, Op
from sync.wire.protocol import Repair, VerifyRanges
from tenants.tokens import issue_device
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = 400
"""Records of another user: enough for a scan of them to show."""
HIDDEN = {"jobs": "job-hidden", "line_items": "item-hidden", "customers": "cust-hidden"}
ABSENT = {"jobs": "job-absent", "line_items": "item-absent", "customers": "cust-absent"}
_op_ids = itertools.count(1)


class Stage:
    def __init__(self):
        self.tenant = make_service()
        rules = technician_rules()
        rules["job"] |= {
            "can_create": True,
            "can_delete": True,
            "writable_fields": ["status", "title", "technician", "customer"],
        }
        rules["customer"] |= {"can_update": True, "can_delete": True}
        self.tom = make_member(make_profile(self.tenant, "technician", rules), "tom")
        self.issued = issue_device(self.tenant, self.tom, "x")
        self.write(
            ("customers", "cust-mine", {"name": "Ada"}),
            ("customers", "cust-hidden", {"name": "Eve"}),
            ("jobs", "job-mine", {"title": "Fix", "technician": "tom", "customer": "cust-mine"}),
            ("jobs", "job-hidden", {"title": "Fix", "technician": "tess", "customer": "cust-hidden"}),
            ("line_items", "item-mine", {"job": "job-mine", "text": "pipe"}),
            ("line_items", "item-hidden", {"job": "job-hidden", "text": "pipe"}),
            ("line_items", "item-hidde2", {"job": "job-hidden", "text": "pipe"}),
            ("line_items", "item-loose1", {"text": "pipe"}),
            *(("customers", f"cust-{n:03}", {"name": "x"}) for n in range(40)),
            *(
                ("jobs", f"job-{n:04}", {"title": "t", "technician": "tess", "customer": f"cust-{n % 40:03}"})
                for n in range(OTHERS)
            ),
            *(
                ("jobs", f"own-{n:04}", {"title": "t", "technician": "tom", "customer": "cust-mine"})
                for n in range(OTHERS)
            ),
        )
        self.channel = channel_log.channel_for(access_of(self.tenant.pk, self.tom.pk), self.tenant.slug)

    def write(self, *records):
        results = push(
            Actor(self.tenant.pk, "olga"), [Op(next(_op_ids), None, *r[:2], "insert", None, r[2]) for r in records]
        )
        assert all(r.accepted for r in results), results


@pytest.fixture
def stage(transactional_db):
    return Stage()


@contextmanager
def watched(work):
    def note(execute, statement, params, many, context):
        work["statements"].append(statement)
        return execute(statement, params, many, context)

    def step():
        work["steps"] += 1
        return 0

    class Noted(read_transaction.SQLiteReader):
        """On SQLite, read transactions bypass Django's cursors."""

        def __init__(self, raw, schema=""):
            super().__init__(raw, schema)
            raw.set_progress_handler(step, 1)

        def all(self, statement, params=()):
            work["statements"].append(statement)
            return super().all(statement, params)

        def stream(self, statement, params=()):
            work["statements"].append(statement)
            return super().stream(statement, params)

    below = sql._execute

    def noted_below(statement, parameters, result_of):
        """The engine's own statements bypass Django's cursors."""
        work["statements"].append(statement)
        return below(statement, parameters, result_of)

    work.update(statements=[], steps=0)
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        connection.connection.set_progress_handler(step, 1)
    try:
        with connection.execute_wrapper(note), pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_transaction, "SQLiteReader", Noted)
            patch.setattr(sql, "_execute", noted_below)
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.connection.set_progress_handler(None, 0)


class Questions:
    """All kinds of requests about an ID; each returns its response."""

    def __init__(self, stage, client):
        self.stage, self.client = stage, client
        self.headers = {"Authorization": f"Bearer {stage.issued.token}"}

    def rest(self, method, address, body=None):
        options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = getattr(self.client, method)(f"/api/records/{address}", headers=self.headers, **options)
        return answer.status_code, answer.content.decode()

    def push(self, *ops):
        results = push(
            Actor(self.stage.tenant.pk, "tom", user_id=self.stage.tom.pk),
            [Op(n, None, *op) for n, op in enumerate(ops, 1)],
        )
        assert not any(r.accepted for r in results), results
        return [(r.status, r.code, r.message, r.field) for r in results]

    def about(self, table, record):
        change = [{"op": "replace", "path": "/object_type", "value": None}]
        return {
            "get": lambda: self.rest("get", f"{table}/{record}/"),
            "history": lambda: self.rest("get", f"{table}/{record}/history/"),
            "patch": lambda: self.rest("patch", f"{table}/{record}/", {"status": "open"}),
            "delete": lambda: self.rest("delete", f"{table}/{record}/"),
            "bulk": lambda: self.rest("post", f"{table}/bulk/", {"operations": [{"op": "delete", "id": record}]}),
            "push update": lambda: self.push((table, record, "update", None, change)),
            "push delete": lambda: self.push((table, record, "delete", None, None)),
            "push old update": lambda: self.push((table, record, "update", 1, change)),
            "push two": lambda: self.push(
                (table, record, "delete", 1, None), (table, f"{record[:-1]}2", "update", None, change)
            ),
            "verify": lambda: requests.verify_ranges(self.stage.channel, VerifyRanges(table, ((record, record),), 1)),
            "repair": lambda: requests.repair(self.stage.channel, Repair(table, (record, record), 1)),
            "verify after": lambda: requests.verify_ranges(
                self.stage.channel, VerifyRanges(table, ((record, record + "!"),), 1)
            ),
        }

    def naming(self, job, customer):
        """Return requests that refer to records that the member must not know of."""
        given = [{"op": "replace", "path": "/job", "value": job}]
        return {
            "insert": lambda: self.push(("line_items", "item-new", "insert", None, {"job": job, "text": "x"})),
            "update": lambda: self.push(("line_items", "item-mine", "update", None, given)),
            "add": lambda: self.push(("line_items", "item-mine", "update", None, [{**given[0], "op": "add"}])),
            "job's customer": lambda: self.push(
                ("jobs", "job-mine", "update", None, [{"op": "replace", "path": "/customer", "value": customer}])
            ),
            "job with customer": lambda: self.push(
                ("jobs", "job-new", "insert", None, {"title": "x", "technician": "tom", "customer": customer})
            ),
            "two": lambda: self.push(
                ("line_items", "item-new", "insert", None, {"job": job, "text": "x"}),
                ("line_items", "item-mine", "update", None, given),
            ),
            "REST": lambda: self.rest("post", "line_items/", {"id": "item-new", "job": job, "text": "x"}),
        }


def work_of(question):
    work = {}
    question()  # warm the caches of schema, access, and statements for both
    with watched(work):
        answer = question()
    return answer, work


def assert_alike(hidden, absent, about):
    (answer, work), (other_answer, other_work) = hidden, absent
    assert work["statements"], about
    assert len(work["statements"]) == len(other_work["statements"]), (
        about,
        work["statements"],
        other_work["statements"],
    )
    assert work["statements"] == other_work["statements"], about
    assert plain(answer) == plain(other_answer), about
    assert abs(work["steps"] - other_work["steps"]) < 150, (about, work["steps"], other_work["steps"])


def plain(answer):
    return str(answer).replace("hidden", "ID").replace("absent", "ID").replace("hidde2", "ID2").replace("absen2", "ID2")


@pytest.mark.parametrize("table", sorted(HIDDEN))
def test_i8_a_question_about_a_hidden_record_costs_what_one_about_none_costs(stage, client, table):
    questions = Questions(stage, client)
    hidden, absent = questions.about(table, HIDDEN[table]), questions.about(table, ABSENT[table])
    differing = []
    for name, question in hidden.items():
        try:
            assert_alike(work_of(question), work_of(absent[name]), name)
        except AssertionError as error:
            differing.append((name, str(error)[:900]))
    assert not differing, differing


def test_i8_a_record_whose_reference_is_empty_costs_the_same_too(stage, client):
    questions = Questions(stage, client)
    loose, absent = questions.about("line_items", "item-loose1"), questions.about("line_items", "item-absent")
    for name in ("get", "patch", "push update", "push delete"):
        (_, work), (_, other) = work_of(loose[name]), work_of(absent[name])
        assert work["statements"] == other["statements"], name


def test_i8_a_reference_to_a_hidden_record_costs_what_one_to_none_costs(stage, client):
    questions = Questions(stage, client)
    hidden = questions.naming("job-hidden", "cust-hidden")
    absent = questions.naming("job-absent", "cust-absent")
    for name, question in hidden.items():
        assert_alike(work_of(question), work_of(absent[name]), name)


def test_a_tenant_without_rules_pays_nothing_for_it(stage):
    """The look-ups that equalize the work run for members of filtered profiles only."""
    work = {}
    with watched(work), transaction.atomic():
        push(Actor(stage.tenant.pk, "olga"), [Op(1, None, "line_items", "item-absent", "delete")])
    assert [s for s in work["statements"] if "_line_items" in s]
    assert not [s for s in work["statements"] if "_jobs" in s]
