// Select2 gives the text box of a search field no name: screen readers get the field's label and its choice.
function nameFields() {
  for (const field of document.querySelectorAll("select.select2-hidden-accessible")) {
    const shown = document.getElementById(`select2-${field.id}-container`);
    const [label] = field.labels;
    if (!shown || !label) continue;
    label.id ||= `${field.id}_label`;
    shown.setAttribute("aria-labelledby", `${label.id} ${shown.id}`);
  }
}

// Django's script makes the fields in a callback of jQuery, which can run after the page's load event; jQuery
// calls its callbacks in the order in which they were added.
window.addEventListener("load", () => window.django?.jQuery?.(nameFields));
