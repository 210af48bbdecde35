// Keeps an open page up to date, and takes a token from a link to the sign-in. The page works without it.

/** A page that has heard nothing for so long, in ms, is behind a proxy that holds events back: then it asks by itself. */
const HELLO_MS = 3_000;
const ASK_MS = 5_000;
/** What comes by the clock alone, such as a key that is due, nobody tells. */
const ANYWAY_MS = 60_000;
/** How often a page that asks by itself tries to listen again. */
const LISTEN_AGAIN_MS = 120_000;

takeToken();
const follow = document.querySelector('[data-follow]')?.dataset.follow;
if (follow !== undefined) keepUpToDate(follow);

/** `/sign-in#token=…`: what follows # is not sent to a server. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  const field = document.getElementById('token');
  if (token === null || field === null) return;
  field.value = token;
  history.replaceState(null, '', location.pathname + location.search);
}

function keepUpToDate(url) {
  let stream = null;
  let timers = [];
  let isAsking = false;
  let isStale = false;
  let isOver = false;
  let mode = '';
  let heardAt = new Date();

  function later(ms, work) {
    timers.push(setTimeout(work, ms));
  }

  function stop() {
    stream?.close();
    stream = null;
    timers.forEach(clearTimeout);
    timers = [];
  }

  function listen() {
    stop();
    if (document.hidden || isOver) return;
    const opened = new EventSource(url);
    stream = opened;
    later(HELLO_MS, () => mode !== 'live' && askByItself());
    opened.addEventListener('hello', () => {
      mode = 'live';
      tell('live', 'live');
    });
    opened.addEventListener('changed', refresh);
    opened.addEventListener('error', () => {
      mode = '';
      if (opened === stream) askByItself();
    });
    refreshEvery(ANYWAY_MS);
  }

  function askByItself() {
    stop();
    mode = 'asking';
    refresh();
    refreshEvery(ASK_MS);
    later(LISTEN_AGAIN_MS, listen);
  }

  function refreshEvery(ms) {
    later(ms, async () => {
      await refresh();
      if (!document.hidden && !isOver) refreshEvery(ms);
    });
  }

  async function refresh() {
    isStale = true;
    if (isAsking || isOver || isSelecting()) return;
    isAsking = true;
    while (isStale && !isOver) {
      isStale = false;
      await fetchPage().catch(() => tell('lost', `no answer since ${heardAt.toTimeString().slice(0, 5)}`));
    }
    isAsking = false;
  }

  async function fetchPage() {
    const answer = await fetch(location.href, {
      headers: { accept: 'text/html' },
      signal: AbortSignal.timeout(20_000),
    });
    if (answer.status >= 500 || answer.status === 429) throw new Error(`status ${answer.status}`);
    heardAt = new Date();
    if (answer.redirected && new URL(answer.url).pathname === '/sign-in')
      return end('the session has ended: ', 'sign in', answer.url);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (!answer.ok) return end('this page is not there any more: ', 'reload', location.href);
    document.title = page.title;
    for (const section of page.querySelectorAll('[data-live]')) swap(section);
    tell(mode === 'live' ? 'live' : 'asking', mode === 'live' ? 'live' : 'every 5 s');
  }

  /** Nothing more is asked: what is shown is old, and says so. */
  function end(text, word, to) {
    isOver = true;
    stop();
    const link = Object.assign(document.createElement('a'), { href: to, textContent: word });
    tell('lost', text, link);
  }

  document.addEventListener('visibilitychange', () => {
    stop();
    if (document.hidden || isOver) return;
    refresh();
    listen();
  });
  listen();
}

/** Somebody copies a key: what is selected stays until then. */
function isSelecting() {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && document.activeElement?.closest('form') === null;
}

/** Open details stay open, and what has the focus keeps it. */
function swap(fresh) {
  const old = document.querySelector(`[data-live="${fresh.dataset.live}"]`);
  if (old === null || old.isEqualNode(fresh)) return;
  for (const { id } of old.querySelectorAll('details[open][id]')) {
    const same = fresh.querySelector(`#${CSS.escape(id)}`);
    if (same !== null) same.open = true;
  }
  const focused = old.contains(document.activeElement) ? placeOf(document.activeElement, old) : null;
  old.replaceWith(document.adoptNode(fresh));
  if (focused !== null) find(focused, fresh)?.focus({ preventScroll: true });
}

/** By its address or its id, else by where it is among those like it. */
function placeOf(element, section) {
  const like = [...section.querySelectorAll(element.localName)];
  return { name: element.localName, href: element.getAttribute('href'), index: like.indexOf(element) };
}

function find({ name, href, index }, section) {
  const like = [...section.querySelectorAll(name)];
  return like.find((one) => href !== null && one.getAttribute('href') === href) ?? like[index];
}

/** A screen reader says what is new, so the same is not said again. */
function tell(is, ...what) {
  const status = document.getElementById('live');
  const text = what.map((part) => part.textContent ?? part).join('');
  if (status === null || status.textContent === text) return;
  status.dataset.is = is;
  status.replaceChildren(...what);
}
