/* Swagger UI draws its page later. Its headings skip a level, and its introduction is in no landmark. */
(() => {
  "use strict";
  const page = document.getElementById("swagger-ui");
  const mend = () => {
    page.querySelectorAll(":is(h3, h4, h5):not([aria-level])").forEach((heading) => {
      heading.setAttribute("aria-level", Number(heading.tagName[1]) - 1);
    });
    page.querySelector(".information-container:not([role])")?.setAttribute("role", "banner");
  };
  new MutationObserver(mend).observe(page, { childList: true, subtree: true });
})();
