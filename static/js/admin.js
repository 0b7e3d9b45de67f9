// Select2 gives the text box of a search field no name: screen readers get the field's label and its choice.
window.addEventListener("load", () => {
  for (const field of document.querySelectorAll("select.select2-hidden-accessible")) {
    const shown = document.getElementById(`select2-${field.id}-container`);
    const [label] = field.labels;
    if (!shown || !label) continue;
    label.id ||= `${field.id}_label`;
    shown.setAttribute("aria-labelledby", `${label.id} ${shown.id}`);
  }
});
