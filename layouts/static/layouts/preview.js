// Preview of the form below its layout, built with the web client's own plan and widgets and updated on every input.
import { defaults } from "../web/app/forms/edit.js";
import { controls, headFields, planForm } from "../web/app/forms/plan.js";
import { defaultLayout } from "../web/app/forms/resolve.js";
import { Form } from "../web/app/ui/form.js";

const SAMPLES = {
  text: "Text", integer: 3, real: 1.5, boolean: true, date: "2026-11-21", datetime: "2026-11-21T09:00:00.000000Z",
  uuid: "0193475c-5b00-7000-8000-000000000000", json: { colour: "blue", floors: 2 }, reference: "sample",
};
const STYLES = ["tokens", "forms"].map((name) => new URL(`../web/app/styles/${name}.css`, import.meta.url).href);
const REFERENCES = { search: async () => [{ id: "sample", title: "A record" }], title: async () => "A record" };

/** A sample value for every field, so that the preview shows a form with content. */
function sample(type, { object_type, status }) {
  const samples = Object.fromEntries(type.fields.map((field) => [field.name, sampleOf(field)]));
  const values = { ...samples, ...defaults(type) };
  if (object_type && object_type !== "*") values.object_type = object_type;
  if (status && status !== "*") values.status = status;
  return values;
}

function sampleOf(field) {
  if (field.kind === "choice") return field.choices[0]?.value ?? null;
  if (field.kind === "decimal") return (12.5).toFixed(field.decimal_places ?? 2);
  return field.kind === "text" ? field.label || field.name : SAMPLES[field.kind] ?? null;
}

class Preview {
  constructor(text) {
    this.text = text;
    const names = ["tenant", "object_name", "object_type", "status"];
    this.fields = Object.fromEntries(names.map((name) => [name, document.getElementById(`id_${name}`)]));
    this.host = document.createElement("section");
    this.host.className = "layout-preview";
    this.host.setAttribute("aria-label", "Preview");
    this.note = document.createElement("p");
    this.note.setAttribute("role", "status");
    const root = this.host.attachShadow({ mode: "open" });
    root.append(...STYLES.map((href) => Object.assign(document.createElement("link"), { rel: "stylesheet", href })));
    this.form = new Form({
      references: REFERENCES,
      oninput: (field, value) => {
        this.values = { ...this.values, [field]: value };
        this.draw();
      },
    });
    root.append(this.form.element);
    (text.closest(".form-row") ?? text.parentElement).append(this.note, this.host);
    this.type = null;
    this.values = {};
    text.addEventListener("input", () => this.draw());
    for (const field of Object.values(this.fields)) field?.addEventListener("input", () => this.load());
    this.load();
  }

  /** The slug of the chosen tenant, or of the only one. */
  get tenant() {
    const tenants = JSON.parse(this.text.dataset.tenants ?? "{}");
    return tenants[this.fields.tenant?.value] ?? (Object.keys(tenants).length === 1 ? Object.values(tenants)[0] : "");
  }

  async load() {
    const name = this.fields.object_name?.value ?? "";
    const turn = this.turn = (this.turn ?? 0) + 1;
    const url = `${this.text.dataset.objects}${encodeURIComponent(name)}/`;
    const headers = { "X-Moat-Tenant": this.tenant };
    const response = name && this.tenant ? await fetch(url, { headers }).catch(() => null) : null;
    const type = response?.ok ? await response.json() : null;
    if (turn !== this.turn) return;
    this.type = type;
    if (type) {
      const { object_type, status } = this.fields;
      this.values = sample(type, { object_type: object_type?.value, status: status?.value });
    }
    this.draw();
  }

  draw() {
    this.host.hidden = !this.type;
    if (!this.type) return this.say("Choose a tenant and a published object type to preview the form.");
    const layout = this.parsed();
    if (layout === undefined) return this.say("Invalid JSON. The preview shows the last valid layout.");
    const known = new Set([...headFields(this.type), ...this.type.fields].map((field) => field.name));
    const plan = planForm(layout ?? defaultLayout(this.type), this.type, this.values);
    this.form.render(plan, this.values);
    const hidden = controls(plan).filter((control) => !control.visible).length;
    const unknown = scopes(layout).filter((name) => !known.has(name));
    const notes = ["This is how clients draw the form, with sample values. Edit them to try the rules."];
    if (hidden) notes.push(`Rules currently hide ${hidden} ${hidden === 1 ? "field" : "fields"}.`);
    if (unknown.length) notes.push(`Unknown fields, not shown: ${unknown.join(", ")}.`);
    return this.say(notes.join(" "));
  }

  /** The layout; null means the default one, undefined that the text is not valid JSON. */
  parsed() {
    if (!this.text.value.trim()) return null;
    try {
      const layout = JSON.parse(this.text.value);
      return layout && typeof layout === "object" && layout.type ? layout : null;
    } catch {
      return undefined;
    }
  }

  say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }
}

function scopes(element) {
  if (!element || typeof element !== "object") return [];
  const own = element.type === "Control" ? [String(element.scope ?? "").replace("#/properties/", "")] : [];
  return [...own, ...(Array.isArray(element.elements) ? element.elements.flatMap(scopes) : [])];
}

const text = document.querySelector("textarea[data-layout]");
if (text) new Preview(text);
