/* Passkeys: what allauth's script leaves to the page. Elements with data-passkey are hidden until the browser is known to
   have passkeys; a ceremony that fails or is cancelled shows #passkey-failed. */
(() => {
  "use strict";
  if (!window.PublicKeyCredential) return;
  document.querySelectorAll("[data-passkey]").forEach((element) => {
    element.hidden = false;
  });
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault(); // it would be written to the console
    document.getElementById("passkey-failed").hidden = false;
  });
})();
