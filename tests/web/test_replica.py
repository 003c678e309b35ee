"""The web client's replica in a real browser against a real server."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.models import Change, Conflict
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Device, Tenant
from tenants.tokens import revoke
from tests.builders import make_object_type
from tests.contract.servers import ServerProcess
from tests.web.browser import PageError
from tests.web.conftest import Open

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def in_every_store(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in every engine, with every store that works there; `auto` in WebKit is IndexedDB."""
    places = [("chromium", "opfs"), ("chromium", "indexeddb"), ("webkit", "auto")]
    return pytest.mark.usefixtures("engine")(pytest.mark.parametrize(("engine", "storage"), places)(test))


def insert_jobs(tenant: Tenant, count: int, *, prefix: str = "job", size: int = 10) -> None:
    """Insert jobs on the server."""
    ops = [
        Op(i + 1, None, "jobs", f"{prefix}-{i:05d}", "insert", 0, {"title": f"{prefix} {i} " + "x" * size})
        for i in range(count)
    ]
    for start in range(0, count, 500):
        assert all(result.accepted for result in push(Actor(tenant.pk, "olga"), ops[start : start + 500]))


def on_server(tenant: Tenant, table: str = "jobs", column: str = "title") -> dict[str, Any]:
    """What the server's table holds, by id."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT id, "{column}" FROM t{tenant.pk}_{table} WHERE NOT _deleted')
        return dict(cursor.fetchall())


def changes_of(tenant: Tenant) -> Counter[tuple[str, int]]:
    """How often each op of a device is in the log."""
    return Counter(Change.objects.filter(tenant=tenant, device_id__isnull=False).values_list("device_id", "op_id"))


def test_the_example_page_shows_another_browsers_edit_without_reload(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 2)
    page = browser().page("/static/web/examples/minimal.html")
    page.until("!document.getElementById('login').hidden")
    page.driver.find_element("name", "tenant").clear()
    page.driver.find_element("name", "tenant").send_keys("acme")
    page.driver.find_element("name", "password").send_keys("secret\n")
    page.until("document.querySelectorAll('#jobs li').length === 2")
    page.driver.find_element("name", "title").send_keys("Typed\n")
    other = browser().open(user="tess", tenant="acme").live()
    other.until("(await moat.query(\"SELECT 1 FROM jobs WHERE title = 'Typed'\")).length")
    other.run("await moat.update('jobs', 'job-00000', { title: 'Seen at once' })")
    page.until("document.getElementById('jobs').textContent.includes('Seen at once')")
    assert page.console() == []


@in_every_store
def test_edits_made_offline_survive_a_reload_and_merge_when_the_server_is_back(
    browser: Open, tenant: Tenant, server: ServerProcess, storage: str
) -> None:
    insert_jobs(tenant, 3)
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run(
        "await moat.update('jobs', 'job-00000', { title: 'Offline' }); await moat.remove('jobs', 'job-00001');"
        "await moat.transaction((tx) => { const id = tx.insert('customers', { name: 'New', code: 'n1' });"
        " tx.insert('jobs', { id: 'mine', title: 'Mine', customer: id }); });"
    )
    profile = page.profile
    page.quit()
    # Others go on meanwhile: the same record, another field.
    push(
        Actor(tenant.pk, "olga"),
        [Op(1, None, "jobs", "job-00000", "update", None, [{"op": "replace", "path": "/notes", "value": "by olga"}])],
    )
    server.start()
    page = browser(profile)
    page.page()  # the page itself is not cached here; that is the service worker's part
    page.run(
        "const { open } = await import('/static/web/sdk/index.js'); window.moat = await open({ storage: args })",
        storage,
    )
    page.settled()
    expected = {"job-00000": "Offline", "job-00002": on_server(tenant)["job-00002"], "mine": "Mine"}
    assert page.titles() == on_server(tenant) == expected
    assert on_server(tenant, column="notes")["job-00000"] == "by olga"
    assert page.run("return moat.verify()")["equal"]
    assert set(changes_of(tenant).values()) == {1}


@in_every_store
def test_a_browser_killed_while_it_writes_loses_nothing_it_confirmed_and_doubles_nothing(
    browser: Open, tenant: Tenant, storage: str
) -> None:
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    page.run(
        """
        window.confirmed = [];
        (async () => {
          for (let i = 0; ; i++) {
            const id = `k-${i}`;
            await moat.insert('jobs', { id, title: `Job ${i}` });
            document.title = id;
          }
        })();
        """
    )
    page.until("document.title.startsWith('k-') && Number(document.title.slice(2)) > 20")
    confirmed = int(page.driver.title.removeprefix("k-"))
    page.kill()
    page = browser(page.profile).open(storage=storage).settled()
    ids = set(page.titles())
    assert {f"k-{i}" for i in range(confirmed + 1)} <= ids
    assert ids == set(on_server(tenant))
    assert set(changes_of(tenant).values()) == {1}
    assert page.run("return moat.verify()")["equal"]


@in_every_store
def test_the_next_tab_takes_over_when_the_leader_goes_and_no_write_is_lost_or_doubled(
    browser: Open, tenant: Tenant, storage: str
) -> None:
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    leader = page.driver.current_window_handle
    follower = page.tab()
    page.open(storage=storage)
    status = page.until("moat.status().phase === 'live' && moat.status()")
    assert not status["leader"]
    page.run(
        """
        window.written = [];
        (async () => {
          for (let i = 0; i < 60; i++) {
            await moat.insert('jobs', { id: `f-${i}`, title: `Job ${i}` });
            written.push(i);
          }
        })();
        """
    )
    page.until("written.length > 10")
    page.switch(leader).driver.close()
    page.switch(follower)
    page.until("written.length === 60")
    assert page.until("moat.status().leader")
    page.settled()
    assert page.titles() == on_server(tenant) == {f"f-{i}": f"Job {i}" for i in range(60)}
    assert set(changes_of(tenant).values()) == {1}


def test_a_server_killed_again_and_again_loses_and_doubles_nothing(
    browser: Open, tenant: Tenant, server: ServerProcess
) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    page.run(
        """
        window.written = 0;
        window.enough = false;
        (async () => {
          while (!enough) {
            await moat.insert('jobs', { id: `s-${written}`, title: `Job ${written}` });
            written += 1;
          }
        })();
        """
    )
    for _ in range(3):
        page.until("moat.status().phase === 'live' && moat.status().cursor > (window.before ?? 0)")
        page.run("window.before = moat.status().cursor")
        server.kill()
        page.until("moat.status().phase !== 'live'")
        server.start()
    page.run("window.enough = true")
    written = page.settled().run("return written")
    assert page.titles() == on_server(tenant) == {f"s-{i}": f"Job {i}" for i in range(written)}
    assert set(changes_of(tenant).values()) == {1}
    assert page.run("return moat.verify()")["equal"]


def test_a_watch_in_one_tab_hears_what_another_tab_writes(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 1)
    page = browser().open(user="tom", tenant="acme").live()
    first = page.driver.current_window_handle
    page.run("window.seen = []; moat.watch({ table: 'jobs' }, (jobs) => seen.push(jobs[0].title))")
    page.until("seen.length === 1")
    page.tab()
    page.open().run("await moat.update('jobs', 'job-00000', { title: 'From the other tab' })")
    page.switch(first).until("seen.at(-1) === 'From the other tab'")


def test_a_true_conflict_shows_both_sides_and_is_settled_mine_theirs_or_by_an_edit(
    browser: Open, tenant: Tenant, server: ServerProcess
) -> None:
    insert_jobs(tenant, 3)
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    for i in range(3):
        page.run("await moat.update('jobs', args, { title: 'Tom says' })", f"job-{i:05d}")
        push(
            Actor(tenant.pk, "olga"),
            [
                Op(
                    1,
                    None,
                    "jobs",
                    f"job-{i:05d}",
                    "update",
                    None,
                    [{"op": "replace", "path": "/title", "value": "Olga says"}],
                )
            ],
        )
    server.start()
    page.until("moat.status().conflicts === 3")
    conflicts = page.run("return moat.conflicts()")
    assert [(c["mine"]["title"], c["theirs"]["title"], c["by"], c["fields"]) for c in conflicts] == [
        ("Tom says", "Olga says", "olga", ["title"])
    ] * 3
    assert set(page.titles().values()) == {"Olga says"}
    assert set(page.run("return moat.states('jobs')").values()) == {"conflict"}
    for conflict, choice in zip(conflicts, ["mine", "theirs", {"title": "Both say"}], strict=True):
        page.run("await moat.resolve(args[0], args[1])", [conflict["op_id"], choice])
    page.until("!(await moat.overlays()).length")
    assert (
        page.titles()
        == on_server(tenant)
        == {"job-00000": "Tom says", "job-00001": "Olga says", "job-00002": "Both say"}
    )
    assert not Conflict.objects.filter(state=Conflict.State.OPEN).exists()


def test_a_type_and_a_field_published_while_a_page_is_open_are_there_without_reload(
    browser: Open, tenant: Tenant, server: ServerProcess
) -> None:
    insert_jobs(tenant, 1)
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run("await moat.update('jobs', 'job-00000', { title: 'Pending across the publish', crew: 7 })")
    job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
    ObjectField.objects.create(object_type=job, name="colour", kind="text", default="red", position=99)
    ObjectField.objects.filter(object_type=job, name="distance").update(retired=True)
    make_object_type(tenant, "van", {"plate": "text"})
    publish(tenant.pk)
    server.start()
    page.settled()
    assert page.rows("SELECT title, crew, colour FROM jobs") == [
        {"title": "Pending across the publish", "crew": 7, "colour": "red"}
    ]
    page.run("await moat.insert('vans', { plate: 'M-1' })")
    page.settled()
    assert list(on_server(tenant, "vans", "plate").values()) == ["M-1"]
    ObjectField.objects.create(object_type=job, name="size", kind="integer", position=100)
    publish(tenant.pk)
    page.until("(await moat.objects()).some(({ fields }) => fields.some(({ name }) => name === 'size'))")
    assert page.run("return moat.verify()")["equal"]
    assert page.console() == []


@in_every_store
def test_the_first_sync_is_a_snapshot_that_goes_on_where_it_was_interrupted(
    browser: Open, tenant: Tenant, server: ServerProcess, storage: str
) -> None:
    insert_jobs(tenant, 12_000, size=300)
    page = browser().open(storage=storage)
    # The server goes away in the middle.
    page.login("acme", "tom")
    page.until("moat.status().phase === 'downloading' && moat.status().progress > 0")
    server.kill()
    page.until("moat.status().phase === 'offline'")
    server.start()
    page.live()
    assert page.rows("SELECT count(*) AS n FROM jobs") == [{"n": 12_000}]
    assert page.run("return moat.verify()")["equal"]
    assert page.run("return moat.status()")["storage"]["tier"] == (1 if storage == "opfs" else 2)
    page.run("await moat.update('jobs', 'job-00007', { title: 'After' })")
    page.settled()
    assert on_server(tenant)["job-00007"] == "After"


def test_pending_edits_outlive_a_snapshot(browser: Open, tenant: Tenant, server: ServerProcess) -> None:
    insert_jobs(tenant, 5)
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run("await moat.update('jobs', 'job-00001', { title: 'Kept' })")
    Tenant.objects.filter(pk=tenant.pk).update(server_epoch="f" * 32)
    insert_jobs(tenant, 3000, prefix="new")
    server.start()
    page.until("moat.status().problem?.code === 'epoch'")
    assert page.titles()["job-00001"] == "Kept"
    page.run("await moat.startOver()")
    page.settled()
    assert len(page.titles()) == 3005
    assert on_server(tenant)["job-00001"] == "Kept"


def test_a_revoked_browser_keeps_its_work_and_goes_on_after_logging_in(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 1)
    page = browser().open(user="tom", tenant="acme").live()
    revoke(Device.objects.get(user__username="tom"))
    page.until("moat.status().phase === 'signed_out' && moat.status().problem")
    page.run("await moat.update('jobs', 'job-00000', { title: 'While revoked' })")
    assert page.titles() == {"job-00000": "While revoked"}
    with pytest.raises(PageError) as refused:
        page.login("acme", "tess")
    assert refused.value.code == "other_user"
    page.login("acme", "tom")
    page.settled()
    assert on_server(tenant) == {"job-00000": "While revoked"}


# Opens the file of tier 2 on the page's own thread and changes it behind the replica's back.
TAMPER = """
await moat.close();
const [{ default: init }, { mirrorStorage }] = await Promise.all([
  import('/static/web/sdk/vendor/sqlite3/index.mjs'),
  import('/static/web/sdk/storage/mirror.js'),
]);
const storage = await mirrorStorage(await init(), 'main');
const sql = storage.open(storage.list()[0]);
for (const statement of args) sql.run(statement);
await storage.flush();
sql.close();
await storage.close();
"""


def test_a_replica_that_differs_from_the_server_is_repaired_without_a_wipe(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 2500)
    page = browser().open(storage="indexeddb", user="tom", tenant="acme").live()
    assert page.run("return moat.verify()")["equal"]
    damage = [
        "UPDATE main.jobs SET title = 'wrong', version = 7 WHERE id = 'job-01234'",
        "DELETE FROM main.jobs WHERE id > 'job-02000' AND id < 'job-02400'",
        "INSERT INTO main.jobs (id, version, title) VALUES ('never', 1, 'was')",
    ]
    page.run(TAMPER, damage)
    page.open(storage="indexeddb").live()
    found = page.run("return moat.verify()")
    assert not found["tables"]["jobs"]["equal"]
    assert 1 <= found["repaired"] <= 20
    page.live()
    assert page.run("return moat.verify()")["equal"]
    assert page.titles() == on_server(tenant)


def test_a_chain_that_differs_is_noticed_at_once_and_repaired(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 20)
    page = browser().open(storage="indexeddb", user="tom", tenant="acme").live()
    page.run(
        TAMPER,
        [
            "UPDATE main.sync_state SET state_hash = '" + "0" * 64 + "'",
            "UPDATE main.jobs SET title = 'wrong', version = 9 WHERE id = 'job-00003'",
        ],
    )
    page.open(storage="indexeddb").live()
    assert page.titles() == on_server(tenant)
    assert page.run("return moat.verify()")["equal"]


def test_thousands_of_missed_changes_are_caught_up_with(browser: Open, tenant: Tenant, server: ServerProcess) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    insert_jobs(tenant, 15_000)
    server.start()
    page.live()
    assert page.rows("SELECT count(*) AS n FROM jobs") == [{"n": 15_000}]
    assert page.run("return moat.verify()")["equal"]


def test_a_burst_of_edits_reaches_another_browser_in_order(browser: Open, tenant: Tenant) -> None:
    insert_jobs(tenant, 1)
    one, two = browser().open(user="tom", tenant="acme").live(), browser().open(user="tess", tenant="acme").live()
    two.run("window.seen = []; moat.watch({ table: 'jobs' }, (jobs) => seen.push(Number(jobs[0].crew)))")
    one.run("for (let i = 2; i <= 200; i++) await moat.update('jobs', 'job-00000', { crew: i })")
    one.settled()
    two.until("seen.at(-1) === 200")
    seen = two.run("return seen")
    assert seen == sorted(seen)
