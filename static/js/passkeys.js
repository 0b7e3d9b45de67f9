/* Passkeys: what allauth's script leaves to the page. Elements with data-passkey are hidden until the browser is known to
   have passkeys; a ceremony that fails or is cancelled shows #passkey-failed. */
(() => {
  "use strict";
  if (!window.PublicKeyCredential) return;
  document.querySelectorAll("[data-passkey]").forEach((element) => {
    element.hidden = false;
  });
  // allauth's script calls submit(), which sends no event (HTML, 4.10.21.3, form.submit());
  // portal.js has to know that a form is being submitted, because adding or using a passkey replaces the session.
  for (const form of document.forms) {
    form.submit = () => {
      form.dispatchEvent(new Event("submit", { bubbles: true }));
      HTMLFormElement.prototype.submit.call(form);
    };
  }
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault(); // it would be written to the console
    document.getElementById("passkey-failed").hidden = false;
  });
})();
