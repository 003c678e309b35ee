/** A live, offline list of jobs: docs/guides/sdk.md. */

import { open } from '../sdk/index.js';

const $ = (id) => document.getElementById(id);
const values = (form) => Object.fromEntries(new FormData(form));
const moat = await open();

moat.onStatus(({ phase, pending }) => {
  $('status').textContent = `${phase}, ${pending} pending`;
  $('login').hidden = phase !== 'signed_out';
});
const show = (jobs) => {
  const items = jobs.map(({ id, title, status }) => {
    const item = Object.assign(document.createElement('li'), { textContent: `${title}: ${status}` });
    item.onclick = () => moat.update('jobs', id, { status: 'done' });
    return item;
  });
  $('jobs').replaceChildren(...items);
};
moat.watch({ table: 'jobs', order: 'title' }, show, () => {}); // the table arrives with the initial sync

$('login').onsubmit = (event) => {
  event.preventDefault();
  moat.login(values($('login'))).catch((error) => alert(error.message));
};
$('add').onsubmit = (event) => {
  event.preventDefault();
  moat.insert('jobs', values($('add'))).then(() => $('add').reset());
};
