/* What the portal needs beyond htmx: the tick of live parts, dialogs, pending buttons, chart keys.
   Nothing here is needed to use the portal; every page works without it. */
(() => {
  "use strict";

  const TICK = 1000; // ms: a charge is seen within two seconds, even on a slow line
  const SLOWEST = 30000; // ms: while the server does not answer
  let wait = TICK;

  // Live parts: every element with data-live gets "refill:tick" while somebody looks at the page.
  function tick() {
    if (document.visibilityState === "visible" && window.htmx) {
      document.querySelectorAll("[data-live]").forEach((part) => window.htmx.trigger(part, "refill:tick"));
    }
    window.setTimeout(tick, wait);
  }
  window.setTimeout(tick, TICK);
  const slower = (event) => {
    if (event.target.matches("[data-live]")) wait = Math.min(wait * 2, SLOWEST);
  };
  document.addEventListener("htmx:sendError", slower);
  document.addEventListener("htmx:responseError", slower);
  document.addEventListener("htmx:afterOnLoad", () => { wait = TICK; });

  // A part that somebody asked for and that did not come: say so, once. Live parts fail silently and try again.
  const failed = (event) => {
    const note = document.getElementById("request-failed");
    if (note && !event.target.matches("[data-live], [hx-trigger*='from:body']")) note.hidden = false;
  };
  document.addEventListener("htmx:sendError", failed);
  document.addEventListener("htmx:responseError", failed);

  // On a narrow screen the navigation scrolls: what is current stands in sight.
  document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      const dialog = document.getElementById(opener.dataset.dialog);
      if (dialog instanceof HTMLDialogElement) {
        event.preventDefault();
        dialog.showModal();
      }
      return;
    }
    const closer = event.target.closest("[data-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog")?.close();
    } else if (event.target instanceof HTMLDialogElement) {
      event.target.close(); // a click on the backdrop
    } else if (event.target.closest("[data-print]")) {
      window.print();
    }
  });

  // Pending: a second click on a submitted form does nothing. Coming back through the browser's history frees it.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.hasAttribute("hx-post")) return;
    const button = event.submitter;
    if (!button || event.target.method === "dialog" || button.hasAttribute("data-again")) return;
    if (button.getAttribute("aria-busy") === "true") event.preventDefault();
    else button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("[aria-busy='true']").forEach((button) => button.removeAttribute("aria-busy"));
  });

  // Filters send themselves when changed; the button remains for those without script.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-submit-on-change]");
    if (form) form.requestSubmit();
  });

  // Charts: one tab stop each, arrows move between the points.
  document.addEventListener("keydown", (event) => {
    const point = event.target.closest?.(".chart-point");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!point || !step) return;
    const points = [...point.closest("svg.chart-plot").querySelectorAll(".chart-point")];
    const next = points[points.indexOf(point) + step];
    if (next) {
      event.preventDefault();
      point.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    }
  });
})();
