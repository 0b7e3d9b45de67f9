/* Swagger UI draws its headings later and skips a level: below the title (level 1) its tags have level 3. */
(() => {
  "use strict";
  const page = document.getElementById("swagger-ui");
  const mend = () => {
    page.querySelectorAll("h3.opblock-tag:not([aria-level])").forEach((tag) => tag.setAttribute("aria-level", "2"));
  };
  new MutationObserver(mend).observe(page, { childList: true, subtree: true });
})();
