"""Plans: legal changes come in a safe order, and every illegal one is found, each at its own place."""

from dataclasses import replace

import pytest

from metadata.object_draft import ObjectDraft
from metadata.plan import make_plan
from metadata.schema import Choice, FieldSpec, ObjectSpec

AB = (Choice("a", "A"), Choice("b", "B"))


def job(*fields, **about):
    return ObjectSpec(object_name="job", table_name="jobs", fields=fields, **about)


def published(before, after, **about):
    return ObjectDraft(wanted=after, published=before, **about)


def plan(*drafts, names=None):
    return make_plan(drafts, names, importable=lambda path: path == "shop.resolvers.Newest")


def codes(*drafts, names=None):
    return {(problem.where, problem.code) for problem in plan(*drafts, names=names).problems}


def text(name="title", **about):
    return FieldSpec(name, "text", **about)


def test_a_new_type_is_one_table_and_its_links():
    customer = ObjectSpec("customer", "customers", fields=(text("name", unique=True),))
    made = plan(ObjectDraft(job(FieldSpec("customer", "reference", reference="customer"))), ObjectDraft(customer))
    assert [operation.words() for operation in made.operations] == [
        "Create table jobs for job: customer (reference)",
        "Create table customers for customer: name (text)",
        "Add a foreign key from jobs.customer to customers",
    ]
    commands = [command for operation in made.operations if (command := operation.command())]
    assert [command["command"] for command in commands] == ["create_table", "create_table"]
    assert commands[0]["columns"][0]["reference_table"] == "customers"
    assert (commands[0]["indexes"], commands[1]["indexes"]) == (["customer"], ["name"])


def test_what_did_not_change_is_not_done():
    assert plan(published(job(text()), job(text()))).changes == ()


def test_labels_alone_change_no_table():
    made = plan(published(job(text(label="Title")), job(text(label="Titel"))))
    assert [operation.words() for operation in made.operations] == ["Change job: label of title"]
    assert made.operations[0].command() is None
    assert made.changes[0][2].fields[0].label == "Titel"


def test_new_fields_come_after_published_ones_whatever_their_position():
    made = plan(published(job(text("b"), text("c")), job(text("a"), text("c"), text("b"))))
    assert [field.name for field in made.changes[0][2].fields] == ["b", "c", "a"]


def test_defaults_are_published_in_wire_form():
    made = plan(ObjectDraft(job(FieldSpec("price", "decimal", default=1, decimal_places=2))))
    assert made.changes[0][2].fields[0].default == "1.00"


@pytest.mark.parametrize(
    ("before", "after", "commands"),
    [
        ({}, {"indexed": True}, ["create_index"]),
        ({"indexed": True}, {}, ["drop_index"]),
        ({"indexed": True}, {"unique": True}, []),
        ({"unique": True}, {"indexed": True}, []),
        ({"unique": True}, {"unique": True, "indexed": True}, []),
        ({"unique": True}, {}, ["drop_index"]),
    ],
)
def test_a_replica_hears_of_an_index_only_when_its_own_changes(before, after, commands):
    made = plan(published(job(text(**before)), job(text(**after))))
    assert [command["command"] for operation in made.operations if (command := operation.command())] == commands


@pytest.mark.parametrize(
    ("old", "new", "legal"),
    [
        ("choice", "text", True), ("uuid", "text", True), ("integer", "real", True), ("integer", "decimal", True),
        ("text", "choice", False), ("text", "uuid", False), ("real", "integer", False),
        ("decimal", "integer", False), ("decimal", "real", False),
        ("date", "datetime", False), ("datetime", "date", False), ("boolean", "integer", False),
        ("json", "text", False), ("reference", "text", False),
    ],
)  # fmt: skip
def test_a_kind_may_widen_and_nothing_else(old, new, legal):
    def field(kind):
        return FieldSpec(
            "f",
            kind,
            choices=AB,
            reference="job" if kind == "reference" else None,
            decimal_places=2 if kind == "decimal" else None,
        )

    found = codes(published(job(field(old)), job(field(new))))
    assert found == (set() if legal else {("job.f", "kind_changed")})


def broken(**about):
    return ObjectDraft(wanted=job(text(), **about))


@pytest.mark.parametrize(
    ("drafts", "expected"),
    [
        ([ObjectDraft(replace(job(), object_name="Job"))], ("Job", "bad_name")),
        ([ObjectDraft(replace(job(), table_name="overlays"))], ("job.table_name", "bad_name")),
        ([ObjectDraft(job(text("a__b")))], ("job.a__b", "bad_name")),
        ([ObjectDraft(job(text(), text()))], ("job.title", "repeated")),
        ([ObjectDraft(job(FieldSpec("f", "money")))], ("job.f", "unknown_kind")),
        ([ObjectDraft(job(FieldSpec("f", "choice")))], ("job.f", "no_choices")),
        ([ObjectDraft(job(FieldSpec("f", "json", unique=True)))], ("job.f", "json_index")),
        ([ObjectDraft(job(FieldSpec("f", "json", indexed=True)))], ("job.f", "json_index")),
        ([ObjectDraft(job(FieldSpec("f", "decimal", decimal_places=13)))], ("job.f", "bad_decimal_places")),
        ([ObjectDraft(job(FieldSpec("f", "integer", default="5")))], ("job.f", "bad_default")),
        ([ObjectDraft(job(FieldSpec("f", "choice", choices=AB, default="c")))], ("job.f", "bad_default")),
        ([ObjectDraft(job(text(unique=True, default="x")))], ("job.title", "bad_default")),
        ([ObjectDraft(job(FieldSpec("f", "real", default=1e300)))], ("job.f", "bad_default")),
        ([ObjectDraft(job(FieldSpec("f", "reference", reference="job", default="x")))], ("job.f", "bad_default")),
        ([ObjectDraft(job(FieldSpec("f", "reference")))], ("job.f", "unknown_reference")),
        ([ObjectDraft(job(FieldSpec("f", "reference", reference="nobody")))], ("job.f", "unknown_reference")),
        ([broken(title_field="name")], ("job.title_field", "unknown_field")),
        ([broken(conflict_policy="os.system")], ("job.conflict_policy", "unknown_policy")),
        ([published(job(text()), job())], ("job.title", "removed")),
        ([published(job(text()), replace(job(text()), table_name="tasks"))], ("job.table_name", "renamed")),
        ([published(job(text()), replace(job(text()), object_name="task"))], ("task", "renamed")),
        ([published(job(), job(text()), burnt=frozenset({"title"}))], ("job.title", "name_was_retired")),
        ([published(job(), job(), gone=True)], ("job", "was_retired")),
        ([ObjectDraft(job(*(text(f"f{i}") for i in range(501))))], ("job", "too_many_fields")),
    ],
)
def test_an_illegal_draft_is_refused_where_it_is_wrong(drafts, expected):
    assert expected in codes(*drafts)


def test_every_problem_is_found_not_only_the_first():
    draft = ObjectDraft(job(text("select"), FieldSpec("c", "choice"), title_field="x", conflict_policy="?"))
    assert len(plan(draft).problems) == 4


def test_a_resolver_that_is_allowed_is_a_policy():
    assert plan(broken(conflict_policy="shop.resolvers.Newest")).problems == ()


def test_a_reference_to_a_type_outside_the_run_is_refused_until_it_is_published():
    referring = ObjectDraft(job(FieldSpec("customer", "reference", reference="customer")))
    customer = ObjectSpec("customer", "customers")
    assert ("job.customer", "unpublished_reference") in codes(referring, ObjectDraft(customer), names=["job"])
    assert codes(referring, published(customer, customer), names=["job"]) == set()
    assert codes(referring, ObjectDraft(customer)) == set()


def test_types_may_refer_to_each_other_and_to_themselves():
    a = ObjectSpec(
        "a", "a_list", fields=(FieldSpec("b", "reference", reference="b"), FieldSpec("me", "reference", reference="a"))
    )
    b = ObjectSpec("b", "bs", fields=(FieldSpec("a", "reference", reference="a"),))
    words = [operation.words() for operation in plan(ObjectDraft(a), ObjectDraft(b)).operations]
    assert words[2:] == [
        "Add a foreign key from a_list.b to bs",
        "Add a foreign key from a_list.me to a_list",
        "Add a foreign key from bs.a to a_list",
    ]


def test_a_type_cannot_be_retired_while_a_field_refers_to_it():
    customer = ObjectSpec("customer", "customers")
    before = job(FieldSpec("customer", "reference", reference="customer", reference_table="customers"))
    gone = published(customer, customer, retired=True)
    assert codes(published(before, before), gone) == {("job.customer", "retired_reference")}
    assert codes(published(before, before), gone, names=["customer"]) == {("job.customer", "retired_reference")}
    without = published(before, job(), retiring=frozenset({"customer"}))
    assert [operation.words().split()[0] for operation in plan(without, gone).operations] == [
        "Drop",
        "Retire",
        "Retire",
    ]


def test_a_retired_types_table_name_is_never_used_again():
    gone = published(job(), job(), retired=True, gone=True)
    task = ObjectSpec("task", "jobs")
    assert codes(gone, ObjectDraft(task)) == {("task.table_name", "table_taken")}


def test_two_types_cannot_share_a_table():
    assert codes(ObjectDraft(job()), ObjectDraft(ObjectSpec("task", "jobs"))) == {("task.table_name", "table_taken")}


def test_an_unknown_object_name_is_refused():
    assert codes(ObjectDraft(job()), names=["jobs"]) == {("jobs", "unknown_object")}


def test_changes_that_depend_on_the_data_are_checked_against_it():
    before = job(
        text("a"), text("b"), FieldSpec("n", "integer"), FieldSpec("c", "choice", choices=AB), subtypes=AB, statuses=AB
    )
    after = job(
        text("a", required=True),
        text("b", unique=True),
        FieldSpec("n", "decimal", decimal_places=2),
        FieldSpec("c", "choice", choices=AB[:1]),
        text("d", required=True),
        subtypes=AB[:1],
    )
    rules = [(check.rule, check.where) for check in plan(published(before, after)).checks]
    assert rules == [
        ("not_used", "job.subtypes"), ("not_used", "job.statuses"), ("no_nulls", "job.a"),
        ("no_duplicates", "job.b"), ("not_longer", "job.b"),
        ("smaller", "job.n"), ("not_used", "job.c"), ("no_records", "job.d"),
    ]  # fmt: skip
