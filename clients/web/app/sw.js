// The server prepends VERSION, PAGE, and FILES (address → sha256). Each version has one cache. It is filled and
// verified completely while the old version keeps working, and only then replaces it, so a page never mixes versions.

const PREFIX = 'moat-';
const CACHE = PREFIX + VERSION;

self.addEventListener('install', (event) => event.waitUntil(install()));
self.addEventListener('activate', (event) => event.waitUntil(activate()));
self.addEventListener('message', (event) => {
  if (event.data === 'use-now') void self.skipWaiting();
});
self.addEventListener('fetch', (event) => {
  if (event.request.method !== 'GET') return;
  const url = new URL(event.request.url);
  if (url.origin !== location.origin) return;
  // Only navigations ignore the query: a worker’s address must stay as it is.
  const address =
    event.request.mode === 'navigate' && url.pathname.startsWith(PAGE) ? PAGE : url.search ? '' : url.pathname;
  if (address in FILES) event.respondWith(answer(event.request, address));
});

async function install() {
  const cache = await caches.open(CACHE);
  try {
    await Promise.all(Object.entries(FILES).map(([address, sha256]) => take(cache, address, sha256)));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function take(cache, address, sha256) {
  for (const known of [await caches.match(address), null]) {
    const response = known ?? (await fetch(address, { cache: 'no-store', credentials: 'same-origin' }));
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    if ((await digest(response.clone())) === sha256) return cache.put(address, response);
  }
  throw new Error(`${address} does not match the file list. The server is being updated.`);
}

async function digest(response) {
  const hash = await crypto.subtle.digest('SHA-256', await response.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request, address) {
  const cache = await caches.open(CACHE);
  return (await cache.match(address)) ?? fetch(request);
}
