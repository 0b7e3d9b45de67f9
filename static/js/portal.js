/* Behaviour beyond htmx: dialogs, pending buttons, chart keys. Live updates are in live.js.
   Every page works without this script. */
(() => {
  "use strict";

  const SUBMITTING = 30000; // ms: how long the answer to a form may take

  // Show an error when a request started by the user fails. Live updates fail silently.
  const showError = (event) => {
    const message = document.getElementById("request-failed");
    if (message && !event.target.matches("#credit-figure, [hx-trigger*='from:body']")) message.hidden = false;
  };
  document.addEventListener("htmx:sendError", showError);
  document.addEventListener("htmx:responseError", showError);

  // On narrow screens the navigation and the tabs scroll: bring the current items into view.
  document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.querySelectorAll(".tabs [aria-current]").forEach((tab) => {
    const tabs = tab.parentElement; // scrolled only sideways, so that a link to a fragment keeps its position
    tabs.scrollLeft += tab.getBoundingClientRect().right - tabs.getBoundingClientRect().right;
  });

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

  // A dialog whose content htmx has loaded opens above the page; the menu with its link closes.
  document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
    if (!(target instanceof HTMLDialogElement) || !target.hasAttribute("data-open-when-loaded")) return;
    document.querySelectorAll("[popover]:popover-open").forEach((menu) => menu.hidePopover());
    if (!target.open) target.showModal();
  });

  // Pending: a second click on a submitted form does nothing. The back button enables the form again.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.hasAttribute("hx-post")) return;
    const button = event.submitter;
    if (!button || event.target.method === "dialog" || button.hasAttribute("data-repeatable")) return;
    if (button.getAttribute("aria-busy") === "true") event.preventDefault();
    else button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", (event) => {
    document.querySelectorAll("[aria-busy='true']").forEach((button) => button.removeAttribute("aria-busy"));
    // A page that Back brings shows the results of its own filters, not of those that were chosen when it was left.
    if (event.persisted) document.querySelectorAll("form[data-submit-on-change]").forEach((form) => form.reset());
  });

  // Signing in and changing the second factor replace the session. A live update of the old session that is
  // answered meanwhile must not lead away from the page that the submitted form opens.
  let submittedAt = -Infinity;
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && !event.target.hasAttribute("hx-post")) submittedAt = Date.now();
  });
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const leadsAway = event.detail.xhr.getResponseHeader("HX-Redirect");
    if (leadsAway && Date.now() - submittedAt < SUBMITTING) event.preventDefault();
  });

  // The time zone of a new account.
  document.querySelectorAll("input[data-zone]").forEach((input) => {
    input.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  });

  // Filter forms submit on change; the button is for browsers without script.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-submit-on-change]");
    if (form) form.requestSubmit();
  });

  // A live element is replaced as a whole: what is opened in it stays open, and the focus stays on its link or button
  // with the same address or text. htmx keeps the focus only of elements with an id.
  let focused = null;
  let opened = null;
  const named = (element) => element.tagName + (element.getAttribute("href") ?? element.textContent);
  const details = (region) => [...(region?.querySelectorAll("details") ?? [])];
  document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
    const element = document.activeElement;
    const isLost = target.id && !element.id && target.contains(element);
    focused = isLost ? { region: target.id, name: named(element) } : null;
    opened = { region: target.id, all: details(target).map((one) => one.open) };
  });
  document.addEventListener("htmx:afterSwap", () => {
    const renewed = opened?.region ? details(document.getElementById(opened.region)) : [];
    if (renewed.length === opened?.all.length) renewed.forEach((one, place) => { one.open ||= opened.all[place]; });
    opened = null;
    if (!focused || document.activeElement !== document.body) return;
    const region = document.getElementById(focused.region);
    const elements = [...(region?.querySelectorAll("a, button, summary") ?? [])];
    elements.find((element) => named(element) === focused.name)?.focus({ preventScroll: true });
  });

  // "Load more" is replaced by the next rows: the focus goes to the first of them.
  let lastRow = null;
  document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
    const isPressed = target.matches(".load-more") && target.contains(document.activeElement);
    lastRow = isPressed ? target.previousElementSibling : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const row = lastRow?.nextElementSibling;
    lastRow = null;
    if (!row) return;
    row.setAttribute("tabindex", "-1");
    row.focus({ preventScroll: true });
  });

  // Charts: one tab stop per chart; arrow keys move between the points.
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
