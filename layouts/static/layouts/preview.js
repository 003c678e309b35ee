// A sketch of the layout under its text, redrawn as one types. Text is set as text, never as markup.
"use strict";
(() => {
  const LAYOUTS = ["VerticalLayout", "HorizontalLayout", "Group", "Categorization", "Category"];

  const box = (className, text) => {
    const node = document.createElement("div");
    node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  const draw = (element, depth) => {
    if (depth > 16 || element === null || typeof element !== "object") return box("lp-bad", "not an element");
    if (element.type === "Label") return box("lp-label", String(element.text ?? ""));
    if (element.type === "Control") {
      const field = String(element.scope ?? "").replace("#/properties/", "");
      const node = box("lp-control");
      if (element.label !== false) node.append(box("lp-name", typeof element.label === "string" ? element.label : field));
      node.append(box("lp-input", field + (element.rule ? "  · " + String(element.rule.effect ?? "").toLowerCase() + " by rule" : "")));
      return node;
    }
    if (!LAYOUTS.includes(element.type)) return box("lp-bad", "unknown type " + String(element.type));
    const node = box("lp-" + element.type);
    if (typeof element.label === "string") node.append(box("lp-title", element.label));
    for (const child of Array.isArray(element.elements) ? element.elements : []) node.append(draw(child, depth + 1));
    return node;
  };

  document.addEventListener("DOMContentLoaded", () => {
    const text = document.querySelector("textarea[data-layout]");
    if (!text) return;
    const preview = box("lp");
    preview.setAttribute("aria-label", "Preview");
    text.closest(".form-row").append(preview);
    const redraw = () => {
      if (!text.value.trim()) return preview.replaceChildren(box("lp-label", "The default layout."));
      try {
        preview.replaceChildren(draw(JSON.parse(text.value), 1));
        preview.classList.remove("lp-stale");
      } catch {
        preview.classList.add("lp-stale");
      }
    };
    text.addEventListener("input", redraw);
    redraw();
  });
})();
