/* Copy buttons: <button data-copy="id of the text" data-done="Copied" hidden>. Without the clipboard API the buttons
   stay hidden. */
(() => {
  "use strict";
  if (!navigator.clipboard) return;
  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText((text.value ?? text.textContent).trim());
        button.querySelector("span").textContent = button.dataset.done;
      } catch {
        if (text.select) text.select();
        else window.getSelection().selectAllChildren(text);
      }
    });
  });
})();
