// The pages are complete without this; with it they live: events, pause, theme and keys.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // Before the first paint, so that nothing flashes.
  const memory = {
    get: () => { try { return localStorage.getItem("nexios-theme"); } catch { return null; } },
    set: (theme) => { try { localStorage.setItem("nexios-theme", theme); } catch { /* a theme for this page alone */ } },
  };
  const chosen = memory.get();
  if (chosen) root.dataset.theme = chosen;

  const SAID = { off: "", live: "live", paused: "paused", lost: "connection lost, trying again", ended: "the service has ended" };
  let source = null, last = "", later = 0, skew = 0;
  // Events come one after the other: what is told while a page is fetched anew is told of that page.
  let turn = Promise.resolve();

  const say = (state) => {
    root.dataset.stream = state;
    const sign = document.querySelector(".stream");
    if (sign && sign.textContent !== SAID[state]) sign.textContent = SAID[state];
  };

  // Times that go on. Written as the server writes them.
  const two = (big, unit, small, part) => `${big} ${unit}` + (small ? ` ${small} ${part}` : "");
  const age = (ms) => {
    const s = Math.floor(Math.max(ms, 0) / 1000);
    if (s < 10) return (Math.floor(Math.max(ms, 0) / 100) / 10).toFixed(1) + " s";
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
    if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s % 3600 / 60), "min");
    return two(Math.floor(s / 86400), "d", Math.floor(s % 86400 / 3600), "h");
  };
  const tick = (within) => {
    const now = Date.now() - skew;
    for (const time of within.querySelectorAll("time")) {
      const { since, until } = time.dataset;
      const text = since ? age(now - since) : until ? age(until - now) : time.textContent;
      if (time.textContent !== text) time.textContent = text;
    }
  };

  // Makes one element like another and keeps what the reader holds: focus, opened forms, selected text.
  const morph = (old, now) => {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || (old.id || "") !== (now.id || "")) {
      old.replaceWith(now);
      return now;
    }
    if (old.nodeType !== 1) {
      if (old.data !== now.data) old.data = now.data;
      return old;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.nodeName === "TIME") return old;
    let next = old.firstChild;
    for (const child of [...now.childNodes]) {
      const same = child.id ? byId(child.id) : null;
      if (same && same.parentNode === old) {
        if (same !== next) old.insertBefore(same, next);
        next = morph(same, child).nextSibling;
      } else if (next && !next.id && !child.id) {
        next = morph(next, child).nextSibling;
      } else {
        old.insertBefore(child, next);
      }
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    return old;
  };
  const element = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  const on = {
    html({ target, html, in: list, after }) {
      const now = element(html);
      const old = byId(target);
      if (!now) return;
      if (old) return tick(morph(old, now));
      const into = list && byId(list);
      if (!into) return;
      const before = after && byId(after);
      if (before) before.after(now); else if (after) into.append(now); else into.prepend(now);
      tick(now);
    },
    remove({ target }) {
      byId(target)?.remove();
    },
    async resync() {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
        // Whoever may not see it any more is told so by the page itself.
        if (answer.status === 401 || answer.status === 403) return location.reload();
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        skew = Date.now() - page.documentElement.dataset.now;
        for (const id of ["head", "lint-count", "main"]) {
          const now = page.getElementById(id);
          if (now) morph(byId(id), document.adoptNode(now));
        }
        tick(document);
      } catch { /* the connection is gone; the next one tells again */ }
    },
    bye() {
      close();
      say("ended");
      later = setTimeout(open, 2000);
    },
  };

  const close = () => {
    clearTimeout(later);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    const mine = new EventSource(root.dataset.events + (last && `&last=${last}`));
    source = mine;
    mine.onopen = () => say("live");
    mine.onerror = () => {
      if (root.dataset.stream !== "ended") say("lost");
      // Refused, and not only interrupted: a browser does not try again by itself.
      if (mine.readyState === 2) later = setTimeout(open, 5000);
    };
    for (const name in on) {
      mine.addEventListener(name, (event) => {
        const hear = () => {
          if (source !== mine) return;
          last = event.lastEventId;
          return on[name](JSON.parse(event.data));
        };
        turn = turn.then(hear, hear);
      });
    }
  };

  const start = () => {
    const button = (name) => document.querySelector(`[data-does=${name}]`);
    const pause = button("pause");
    // The page of a refusal has none of it.
    if (!pause) return;
    const help = byId("help");
    const does = {
      pause() {
        const paused = root.dataset.stream !== "paused";
        pause.setAttribute("aria-pressed", paused);
        if (paused) { close(); say("paused"); } else open();
      },
      theme() {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        memory.set(root.dataset.theme);
      },
      help() {
        if (!help.open) help.showModal();
      },
    };
    for (const name in does) {
      button(name).hidden = false;
      button(name).addEventListener("click", does[name]);
    }
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
      const filter = document.querySelector("[role=search] input[type=search]");
      if (event.key === "p") does.pause();
      else if (event.key === "?") does.help();
      else if (event.key === "/" && filter) filter.focus();
      else return;
      event.preventDefault();
    });
    // A page that nobody sees leaves its place to others, unless it is looked at again soon.
    let hiding = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hiding);
      if (root.dataset.stream === "paused") return;
      if (document.hidden) hiding = setTimeout(() => { close(); say("off"); }, 10000);
      else if (!source) open();
    });
    skew = Date.now() - root.dataset.now;
    setInterval(() => { if (root.dataset.stream === "live") tick(document); }, 500);
    open();
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start); else start();
})();
