// Boxes of a photo: drawn, moved and resized with a mouse, a finger or keys. What is saved is a form.
"use strict";

(() => {
  const EDGES = ["x1", "y1", "x2", "y2"];
  const NEAR = { mouse: 9, pen: 14, touch: 24 };
  const CORNERS = { nw: ["x1", "y1"], ne: ["x2", "y1"], sw: ["x1", "y2"], se: ["x2", "y2"] };
  let drawing = false;
  let drag = null;
  let dirty = null; // edges before arrows moved the current box

  const root = () => document.getElementById("boxes");
  const svg = () => root().querySelector("svg");
  const current = () => root().querySelector("li.current[data-box]");
  const item = (key) => root().querySelector(`li[data-box="${key}"]`);
  const rect = (key) => root().querySelector(`rect[data-box="${key}"]`);
  const size = () => svg().viewBox.baseVal;
  const field = (key, edge) => item(key).querySelector(`input[name="${edge}"]`);
  const isOpen = (key) => key !== null && item(key) && field(key, "x1");

  const read = (key) => Object.fromEntries(EDGES.map((edge) => [edge, Number(field(key, edge).value)]));

  const shape = (key, box) => {
    const drawn = rect(key);
    drawn.setAttribute("x", box.x1);
    drawn.setAttribute("y", box.y1);
    drawn.setAttribute("width", box.x2 - box.x1);
    drawn.setAttribute("height", box.y2 - box.y1);
    place();
  };

  const write = (key, box) => {
    const { width, height } = size();
    const round = (value, most) => Math.round(Math.min(Math.max(value, 0), most) * 100) / 100;
    const kept = {
      x1: round(Math.min(box.x1, box.x2), width), y1: round(Math.min(box.y1, box.y2), height),
      x2: round(Math.max(box.x1, box.x2), width), y2: round(Math.max(box.y1, box.y2), height),
    };
    EDGES.forEach((edge) => { field(key, edge).value = kept[edge]; });
    shape(key, kept);
  };

  // htmx sends the value of a button that was clicked.
  const save = (key) => item(key).querySelector("button[value=save]").click();

  // Pixels of the photo in a pixel of the screen.
  const scale = () => size().width / Math.max(1, svg().getBoundingClientRect().width);

  const place = () => {
    const now = current();
    const key = now ? now.dataset.box : null;
    root().querySelectorAll("rect").forEach((r) => r.classList.toggle("current", r.dataset.box === key));
    const box = isOpen(key) ? read(key) : null;
    root().querySelectorAll(".handle").forEach((handle) => {
      handle.setAttribute("r", box ? 6 * scale() : 0);
      if (!box) return;
      const [x, y] = CORNERS[handle.dataset.corner];
      handle.setAttribute("cx", box[x]);
      handle.setAttribute("cy", box[y]);
    });
  };

  const at = (event) => {
    const shown = svg().getBoundingClientRect();
    const { width, height } = size();
    return {
      x: Math.min(Math.max((event.clientX - shown.left) / shown.width, 0), 1) * width,
      y: Math.min(Math.max((event.clientY - shown.top) / shown.height, 0), 1) * height,
    };
  };

  const inside = (point, box) => point.x >= box.x1 && point.x <= box.x2 && point.y >= box.y1 && point.y <= box.y2;

  // The corner of the current box that a pointer is on.
  const corner = (point, event) => {
    const now = current();
    if (!now || !isOpen(now.dataset.box)) return null;
    const box = read(now.dataset.box);
    const near = (NEAR[event.pointerType] || NEAR.mouse) * scale();
    return Object.values(CORNERS).find(([x, y]) => Math.hypot(point.x - box[x], point.y - box[y]) <= near) || null;
  };

  // The box that a pointer means: the current one, or else the smallest.
  const meant = (point) => {
    const now = current();
    const keys = [...root().querySelectorAll("li[data-box]")].map((li) => li.dataset.box)
      .filter((key) => key !== "new" && isOpen(key) && inside(point, read(key)));
    if (now && keys.includes(now.dataset.box)) return now.dataset.box;
    const area = (box) => (box.x2 - box.x1) * (box.y2 - box.y1);
    return keys.sort((a, b) => area(read(a)) - area(read(b)))[0] ?? null;
  };

  const draw = (on) => {
    drawing = on;
    root().classList.toggle("drawing", on);
    root().querySelector("[data-draw]").setAttribute("aria-pressed", String(on));
  };

  const cancel = () => {
    const was = drag || dirty;
    drag = dirty = null;
    if (!was) return false;
    if (was.before) write(was.key, was.before);
    else forget();
    place();
    return true;
  };

  // The new box that is not saved yet.
  const forget = () => {
    item("new").querySelector("form").reset();
    shape("new", { x1: 0, y1: 0, x2: 0, y2: 0 });
  };

  document.addEventListener("pointerdown", (event) => {
    const target = event.target.closest && event.target.closest(".editor svg");
    if (!target || !event.isPrimary || event.button) return;
    const point = at(event);
    const onCorner = drawing ? null : corner(point, event);
    const key = onCorner ? current().dataset.box : drawing ? null : meant(point);
    const touch = event.pointerType === "touch";
    if (key === null && touch && !drawing) return;
    const wasCurrent = key !== null && current() === item(key);
    if (key !== null && !wasCurrent) item(key).click();
    event.preventDefault();
    if (touch && key !== null && !wasCurrent) return; // the first touch only selects
    cancel();
    drag = key === null
      ? { key: "new", before: null, start: point, edges: null, moved: false }
      : { key, before: read(key), start: point, edges: onCorner, moved: false };
    target.setPointerCapture(event.pointerId);
  });

  document.addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    const point = at(event);
    if (!drag.moved && Math.hypot(point.x - drag.start.x, point.y - drag.start.y) < 3 * scale()) return;
    drag.moved = true;
    if (drag.key === "new") {
      write("new", { x1: drag.start.x, y1: drag.start.y, x2: point.x, y2: point.y });
    } else if (drag.edges) {
      const [x, y] = drag.edges;
      write(drag.key, { ...drag.before, [x]: point.x, [y]: point.y });
    } else {
      const { width, height } = size();
      const { x1, y1, x2, y2 } = drag.before;
      const right = Math.min(Math.max(point.x - drag.start.x, -x1), width - x2);
      const down = Math.min(Math.max(point.y - drag.start.y, -y1), height - y2);
      write(drag.key, { x1: x1 + right, y1: y1 + down, x2: x2 + right, y2: y2 + down });
    }
  });

  document.addEventListener("pointerup", (event) => {
    if (!drag || !event.isPrimary) return;
    const { key, moved } = drag;
    drag = null;
    if (!moved) return;
    if (key !== "new") return save(key);
    draw(false);
    item("new").querySelector("input[name=label]").focus();
  });
  document.addEventListener("pointercancel", cancel);

  const nudge = (event, right, down) => {
    const now = current();
    if (!now || !isOpen(now.dataset.box)) return false;
    const key = now.dataset.box;
    const { width, height } = size();
    const step = Math.max(1, Math.round(Math.max(width, height) / 200));
    const box = read(key);
    if (!dirty || dirty.key !== key) { cancel(); dirty = { key, before: box }; }
    const { x1, y1, x2, y2 } = box;
    if (event.shiftKey) {
      write(key, { x1, y1, x2: Math.max(x2 + right * step, x1 + 1), y2: Math.max(y2 + down * step, y1 + 1) });
    } else {
      const x = Math.min(Math.max(right * step, -x1), width - x2);
      const y = Math.min(Math.max(down * step, -y1), height - y2);
      write(key, { x1: x1 + x, y1: y1 + y, x2: x2 + x, y2: y2 + y });
    }
    return true;
  };

  const press = (name) => {
    const button = current() && current().querySelector(name);
    if (button) button.click();
    return Boolean(button);
  };

  const focusLabel = () => {
    const label = current() && current().querySelector("input[name=label]");
    if (label) label.focus();
    return Boolean(label);
  };

  // Before those of studio.js, which arrows belong to as well.
  document.addEventListener("keydown", (event) => {
    if (!root() || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea, dialog");
    if (event.key === "Escape" && (cancel() || drawing)) {
      draw(false);
      return;
    }
    if (event.key === "Escape" && typing && typing.closest("li.new")) forget();
    if (typing) return;
    const actions = {
      ArrowLeft: () => nudge(event, -1, 0),
      ArrowRight: () => nudge(event, 1, 0),
      ArrowUp: () => nudge(event, 0, -1),
      ArrowDown: () => nudge(event, 0, 1),
      Enter: () => {
        if (!dirty) return false;
        const { key } = dirty;
        dirty = null;
        save(key);
        return true;
      },
      b: () => { draw(!drawing); return true; },
      d: () => press("[data-delete]"),
      Delete: () => press("[data-delete]"),
      l: focusLabel,
    };
    const action = actions[event.key];
    if (action && action()) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-draw]")) draw(!drawing);
  });
  document.addEventListener("input", (event) => {
    const li = event.target.closest("li[data-box]");
    if (!li || !EDGES.includes(event.target.name)) return;
    const box = read(li.dataset.box);
    if (box.x2 > box.x1 && box.y2 > box.y1) shape(li.dataset.box, box);
  });
  document.addEventListener("repic:current", () => {
    if (dirty && !(current() && current().dataset.box === dirty.key)) cancel();
    if (root()) place();
  });
  document.addEventListener("htmx:afterSwap", () => { drag = dirty = null; drawing = false; });
  window.addEventListener("resize", () => { if (root()) place(); });
})();
