"""Failures of a browser: killed during a snapshot, no space left, a damaged file, a leader that dies under a list."""

import pytest

from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, Tenant
from tests.contract.servers import ServerProcess
from tests.sync.access_builders import make_profile
from tests.web.browser import Browser, PageError
from tests.web.conftest import Open
from tests.web.test_replica import in_every_store, insert_jobs, on_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@in_every_store
def test_a_browser_killed_while_it_takes_a_snapshot_keeps_its_edits_and_goes_on(
    browser: Open, tenant: Tenant, server: ServerProcess, storage: str
) -> None:
    insert_jobs(tenant, 1)
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run("await moat.update('jobs', 'job-00000', { title: 'Typed before' })")
    insert_jobs(tenant, 12_000, prefix="new", size=300)
    member = Membership.objects.get(user__username="tom")
    everything = {"can_create": True, "can_update": True, "can_delete": True}
    member.profile = make_profile(tenant, "another", dict.fromkeys(("job", "customer", "line_item"), everything))
    member.save()
    server.start()
    page.until("moat.status().phase === 'downloading' && moat.status().progress > 0")
    page.kill()
    page = browser(page.profile).open(storage=storage).settled()
    assert page.rows("SELECT count(*) AS n FROM jobs") == [{"n": 12_001}]
    assert page.titles()["job-00000"] == on_server(tenant)["job-00000"] == "Typed before"
    assert page.run("return moat.verify()")["equal"]


# Fill with noise: Chromium compresses what it stores in IndexedDB when it has time, and repeated letters would take
# almost no space.
FILL = """
const noise = () => Array.from(
  crypto.getRandomValues(new Uint8Array(60_000)), (byte) => byte.toString(16).padStart(2, '0'),
).join('');
for (let i = 0; i < 300; i++) await moat.insert('jobs', { id: `big-${i}`, title: 'x', notes: noise() });
"""


@pytest.mark.parametrize("storage", ["opfs", "indexeddb"])
def test_without_space_a_write_says_so_and_what_was_there_stays(browser: Open, tenant: Tenant, storage: str) -> None:
    insert_jobs(tenant, 3)
    page = browser()

    def quota(size: int | None) -> None:
        page.driver.execute_cdp_cmd(
            "Storage.overrideQuotaForOrigin", {"origin": page.url, **({} if size is None else {"quotaSize": size})}
        )

    quota(12_000_000)  # from the start: a browser that has looked once looks again much later
    page.open(storage=storage, user="tom", tenant="acme").live()
    page.run("await moat.update('jobs', 'job-00000', { title: 'Before' })")
    page.settled()
    with pytest.raises(PageError) as refused:
        page.run(FILL)
    assert refused.value.code == "storage_failed"
    assert page.titles()["job-00000"] == "Before"
    quota(None)
    page.run("await moat.update('jobs', 'job-00001', { title: 'After' })")
    page.settled()
    assert on_server(tenant)["job-00001"] == "After"
    assert page.titles() == on_server(tenant)
    page.page().open(storage=storage).settled()
    assert page.titles() == on_server(tenant)
    assert page.run("return moat.verify()")["equal"]


# Spoils the first page of the newest file behind the replica's back, in the tier it is in.
SPOIL = {
    "opfs": """
await moat.close();
const name = ['.moat', 'main', '.opaque'];
let folder = await navigator.storage.getDirectory();
for (const part of name) folder = await folder.getDirectoryHandle(part);
for await (const handle of folder.values()) {
  const file = await handle.getFile();
  if (file.size < 8192) continue;
  const head = new TextDecoder().decode(await file.slice(0, 512).arrayBuffer());
  if (!/replica-\\d+\\.sqlite3\\0/.test(head)) continue;
  const out = await handle.createWritable({ keepExistingData: true });
  await out.write({ type: 'write', position: 4096, data: new Uint8Array(4096).fill(7) });
  await out.close();
}
""",
    "indexeddb": """
await moat.close();
const request = indexedDB.open('moat-main', 1);
const db = await new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
const transaction = db.transaction('blocks', 'readwrite'), blocks = transaction.objectStore('blocks');
blocks.openCursor().onsuccess = ({ target }) => {
  if (!target.result) return;
  if (target.result.key[1] === 0) target.result.update(target.result.value.fill(7, 0, 4096));
  target.result.continue();
};
await new Promise((resolve) => { transaction.oncomplete = resolve; });
db.close();
""",
}


@pytest.mark.parametrize("storage", ["opfs", "indexeddb"])
def test_a_damaged_file_is_set_aside_and_the_data_comes_again(browser: Open, tenant: Tenant, storage: str) -> None:
    insert_jobs(tenant, 3)
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    page.run(SPOIL[storage])
    page.open(storage=storage)
    status = page.run("return moat.status()")
    assert (status["phase"], len(status["storage"]["damaged"])) == ("signed_out", 1)
    page.login("acme", "tom")
    page.settled()
    assert page.titles() == on_server(tenant)
    page.open(storage=storage).settled()
    assert len(page.run("return moat.status()")["storage"]["damaged"]) == 1


def _follow(page: Browser) -> None:
    page.run(
        """
        window.heard = [];
        window.list = moat.list(
          { table: 'jobs', order: { sql: '"title"' }, select: { sql: 'r.id, r.title' } },
          (news) => heard.push(news),
        );
        """
    )
    page.until("heard.at(-1)?.complete")


@in_every_store
def test_a_list_in_one_tab_follows_what_others_write_also_when_the_leader_goes(
    browser: Open, tenant: Tenant, storage: str
) -> None:
    insert_jobs(tenant, 1200)
    page = browser().open(storage=storage, user="tom", tenant="acme").live()
    leader = page.driver.current_window_handle
    follower = page.tab()
    page.open(storage=storage).live()
    _follow(page)
    assert page.run("return heard.at(-1).count") == 1200
    titles = on_server(tenant)
    assert [row["id"] for row in page.run("return list.rows(600, 2)")] == sorted(titles, key=lambda job: titles[job])[
        600:602
    ]
    change = Op(1, None, "jobs", "job-00005", "update", None, [{"op": "replace", "path": "/title", "value": "zz last"}])
    push(Actor(tenant.pk, "olga"), [change])
    page.until("(await list.rows(1199, 1))[0].id === 'job-00005'")
    page.switch(leader).driver.close()
    page.switch(follower)
    page.until("moat.status().leader && moat.status().phase === 'live'")
    page.run("await moat.insert('jobs', { id: 'mine', title: 'zzz' })")
    page.until("heard.at(-1).count === 1201 && (await list.rows(1200, 1))[0].id === 'mine'")
    page.settled()
    page.until("(await list.rows(1200, 1))[0].id === 'mine'")
    page.run("list.close()")
