/* Live updates. A stream of Server-Sent Events states the account's version; when it differs from the one that
   the page shows, the credit counter gets the event "refill:tick" and loads itself, which makes other parts of
   the page load themselves ("balance-changed"). All visible tabs of a browser share one stream, because a
   browser opens six HTTP/1.1 connections to a host; hidden tabs take part in nothing. Without a stream the
   counter is polled. */
(() => {
  "use strict";

  const POLL_INTERVAL = 1000; // ms: a charge is visible within two seconds, even on a slow connection
  const BROKEN_INTERVAL = 5000; // ms: after a stream has ended, because that happens to all browsers at once
  const LONGEST_INTERVAL = 30000; // ms: while requests fail
  const SILENCE = 45000; // ms: a stream has an event every 20 seconds
  const OPEN_AGAIN = 30000; // ms: after the server has refused a stream
  const JOIN_AFTER = 700; // ms: a page that is left at once opens no stream
  const counter = document.getElementById("credit-counter");
  const channel = new BroadcastChannel("refill-live");
  let usual = POLL_INTERVAL;
  let interval = usual;
  let version = ""; // the newest one that the stream has stated
  let asked = ""; // the version for which the counter was loaded last
  let streamUntil = 0; // when the stream counts as lost
  let leave = null; // ends this tab's part in the stream, if it has one
  let holds = false; // whether the stream is this tab's

  const figure = () => document.getElementById("credit-figure");
  const isVisible = () => document.visibilityState === "visible";
  const later = (milliseconds) => milliseconds * (0.5 + Math.random() / 2);

  function load() {
    if (isVisible() && figure() && window.htmx) window.htmx.trigger(figure(), "refill:tick");
  }

  function setStale(isStale) {
    const mark = document.getElementById("credit-stale");
    if (mark) mark.hidden = !isStale;
  }

  function compare() {
    if (version === figure()?.dataset.version) {
      asked = "";
      setStale(false);
    } else if (version && version !== asked) {
      asked = version;
      load();
    }
  }

  function poll() {
    if (Date.now() > streamUntil) load();
    window.setTimeout(poll, interval);
  }

  // What the stream says, that of this tab or of another one.
  function receive(message) {
    if (message.version) {
      version = message.version;
      streamUntil = Date.now() + SILENCE;
      interval = usual = POLL_INTERVAL;
      compare();
    } else {
      if (version) interval = usual = BROKEN_INTERVAL;
      streamUntil = message.isRefused ? 0 : Math.min(streamUntil, Date.now() + later(2 * BROKEN_INTERVAL));
      if (message.isRefused) load(); // perhaps the session has ended
    }
  }

  function share(message) {
    channel.postMessage(message);
    receive(message);
  }

  // Hold the stream for all tabs, until this one is hidden or left.
  function hold() {
    return new Promise((resolve) => {
      let source = null;
      let timer = 0;
      const next = (action, milliseconds) => {
        window.clearTimeout(timer);
        timer = window.setTimeout(action, milliseconds);
      };
      const open = () => {
        source?.close();
        source = new EventSource(counter.dataset.stream);
        source.onmessage = (event) => {
          next(open, SILENCE);
          share({ version: event.data });
        };
        source.onerror = () => {
          if (source.readyState === EventSource.CLOSED) refused();
          else share({}); // the browser opens it again
        };
        source.addEventListener("replaced", refused); // too many streams of this browser
      };
      const refused = () => {
        source.close();
        next(open, later(2 * OPEN_AGAIN));
        share({ isRefused: true });
      };
      leave = () => {
        window.clearTimeout(timer);
        source.close();
        leave = null;
        holds = false;
        resolve();
      };
      holds = true;
      open();
    });
  }

  function join() {
    if (!counter || leave || !isVisible()) return;
    if (!navigator.locks) { // only in secure contexts
      hold();
      return;
    }
    const waiting = new AbortController();
    leave = () => {
      waiting.abort();
      leave = null;
    };
    navigator.locks.request("refill-live", { signal: waiting.signal }, hold).catch(() => {});
  }

  document.addEventListener("visibilitychange", () => {
    if (!isVisible()) {
      leave?.();
      streamUntil = 0;
    } else if (counter) {
      load(); // what was missed
      join();
      channel.postMessage({ isNew: true });
    }
  });
  window.addEventListener("pagehide", () => leave?.());
  window.addEventListener("pageshow", () => window.setTimeout(join, JOIN_AFTER));

  channel.addEventListener("message", ({ data }) => {
    if (data.isNew && holds && Date.now() < streamUntil) channel.postMessage({ version });
    else if (data.isSignedOut) load();
    else if (!data.isNew && isVisible()) receive(data);
  });

  if (counter) {
    const fail = (event) => {
      if (event.target !== figure()) return;
      interval = Math.min(interval * 2, LONGEST_INTERVAL);
      streamUntil = 0;
      asked = "";
      setStale(true);
    };
    document.addEventListener("htmx:sendError", fail);
    document.addEventListener("htmx:responseError", fail);
    document.addEventListener("htmx:afterOnLoad", (event) => {
      if (event.detail.failed) return;
      interval = usual;
      setStale(false);
    });
    document.addEventListener("htmx:afterSettle", compare);
    channel.postMessage({ isNew: true });
    window.setTimeout(poll, POLL_INTERVAL);
  } else {
    channel.postMessage({ isSignedOut: true }); // perhaps: the other tabs ask
  }
})();
