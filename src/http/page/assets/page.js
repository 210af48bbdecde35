// Keeps an open page up to date, and takes a token from a link to the sign-in. The page works without it.

/** A page that gets no `hello` for this long, in ms, is behind a proxy that buffers events. It then asks every ASK_MS. */
const HELLO_MS = 3_000;
const ASK_MS = 5_000;
/** No event tells of what changes with time alone, such as a key that becomes due. So a page also asks this often, in ms. */
const ANYWAY_MS = 60_000;
/** A page that asks tries to listen again after this time, in ms. */
const LISTEN_AGAIN_MS = 120_000;

takeToken();
// A link to the sign-in that is opened where the sign-in is open already loads nothing.
addEventListener('hashchange', takeToken);
if (document.querySelector('[data-live]') !== null) keepUpToDate();

/** From `/sign-in#token=…`: what follows the # is sent to no server. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  const field = document.getElementById('token');
  if (token === null || field === null) return;
  field.value = token;
  history.replaceState(null, '', location.pathname + location.search);
}

function keepUpToDate() {
  const url = document.querySelector('[data-follow]')?.dataset.follow ?? '/live';
  let stream = null;
  let timers = [];
  let isLive = false;
  let isOver = false;
  /** Something has changed since the page was last asked for. */
  let isStale = false;
  let isAsking = false;
  let heardAt = new Date();

  const later = (ms, work) => timers.push(setTimeout(work, ms));

  function stop() {
    stream?.close();
    for (const timer of timers) clearTimeout(timer);
    [stream, timers, isLive] = [null, [], false];
  }

  function listen() {
    stop();
    stream = new EventSource(url);
    stream.addEventListener('hello', () => {
      isLive = true;
      // Something may have changed since the page was drawn.
      refresh();
    });
    stream.addEventListener('changed', refresh);
    stream.addEventListener('error', ask);
    later(HELLO_MS, () => isLive || ask());
    refreshEvery(ANYWAY_MS);
  }

  function ask() {
    stop();
    refresh();
    refreshEvery(ASK_MS);
    later(LISTEN_AGAIN_MS, listen);
  }

  function refreshEvery(ms) {
    later(ms, () => {
      refresh();
      refreshEvery(ms);
    });
  }

  /** One request at a time. While text is selected, such as a kid to copy, the page is not drawn anew. */
  async function refresh() {
    isStale = true;
    if (isAsking) return;
    isAsking = true;
    while (isStale && !isOver && !document.hidden && getSelection().isCollapsed) {
      isStale = false;
      await draw().catch(() => tell('lost', `no answer since ${heardAt.toISOString().slice(11, 16)} UTC`));
    }
    isAsking = false;
  }

  async function draw() {
    const answer = await fetch(location.href, {
      headers: { accept: 'text/html', 'x-rekeyd-refresh': 'yes' },
      signal: AbortSignal.timeout(20_000),
    });
    if (answer.status >= 500 || answer.status === 429) throw new Error(`${answer.status}`);
    heardAt = new Date();
    const isSignedOut = answer.redirected && new URL(answer.url).pathname === '/sign-in';
    if (isSignedOut) return end('the session has ended: ', 'sign in', answer.url);
    if (!answer.ok) return end('this is no longer there: ', 'reload', location.href);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.title = page.title;
    for (const section of page.querySelectorAll('[data-live]')) swap(section);
    tell(isLive ? 'live' : 'asking', isLive ? 'live' : 'every 5 s');
  }

  /** The page is not updated any more, and says so. */
  function end(text, word, to) {
    isOver = true;
    stop();
    tell('lost', text, Object.assign(document.createElement('a'), { href: to, textContent: word }));
  }

  document.addEventListener('selectionchange', () => isStale && refresh());
  document.addEventListener('visibilitychange', () => {
    stop();
    if (document.hidden || isOver) return;
    listen();
    refresh();
  });
  if (!document.hidden) listen();
}

/** Replaces a section. Open details stay open, and the focus stays. */
function swap(fresh) {
  const old = document.querySelector(`[data-live="${fresh.dataset.live}"]`);
  if (old === null || isInUse(old)) return;
  for (const { id } of old.querySelectorAll('details[open][id]')) {
    fresh.querySelector(`details#${CSS.escape(id)}`)?.setAttribute('open', '');
  }
  if (withoutNumbers(old).isEqualNode(withoutNumbers(fresh))) return;
  const focused = document.activeElement;
  const find = old.contains(focused) ? finder(focused, old) : () => null;
  old.replaceWith(fresh);
  find(fresh)?.focus({ preventScroll: true });
}

/** A form that is open, or that somebody has written into, stays as it is. */
function isInUse(section) {
  const isOpen = section.querySelector('details.action[open]') !== null;
  return (
    isOpen || [...section.querySelectorAll('form input[type=text]')].some((field) => field.value !== field.defaultValue)
  );
}

/** Each form has a number of its own, another one each time: that alone is nothing new. */
function withoutNumbers(section) {
  const copy = section.cloneNode(true);
  for (const field of copy.querySelectorAll('input[name=nonce]')) field.remove();
  return copy;
}

/** Finds an element of the old section in the new one: a link by its address, any other by its index among elements of its kind. */
function finder(element, section) {
  const href = element.getAttribute('href');
  const index = [...section.querySelectorAll(element.localName)].indexOf(element);
  return (fresh) => {
    const like = [...fresh.querySelectorAll(element.localName)];
    return like.find((one) => href !== null && one.getAttribute('href') === href) ?? like[index];
  };
}

/** A screen reader reads each change of this text, so the same text is not set again. */
function tell(is, ...what) {
  const status = document.getElementById('live');
  const text = what.map((part) => part.textContent ?? part).join('');
  if (status.textContent === text) return;
  status.dataset.is = is;
  status.replaceChildren(...what);
}
