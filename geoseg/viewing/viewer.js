(function () {
  "use strict";

  function begin(root) {
    const told = JSON.parse(root.querySelector("script.told").textContent);
    const model = (name) => Bokeh.documents.map((d) => d.get_model_by_name(name)).find((found) => found) || null;
    const xs = model(told.key + "-x"), ys = model(told.key + "-y");
    if (!xs || !ys) return false;

    const stage = root.querySelector(".stage");
    const canvas = root.querySelector(".side"); // a pixel larger all around: Bokeh leaves its outermost one unpainted
    const swipe = root.querySelector(".swipe");
    const hover = root.querySelector(".hover");
    const bar = root.querySelector(".scalebar");
    const on = told.classes.map(() => true);
    const ratio = told.metres ? told.metres[0] / told.metres[1] : 1;
    const layers = told.layers.map((layer) => ({
      ...layer,
      sources: layer.sources.map((one) => ({ kind: one.kind, source: model(one.name) })),
      mapper: layer.mapper && model(layer.mapper),
      parts: { left: layer.parts.left.map(model), right: layer.parts.right.map(model) },
      seen: { left: false, right: false },
    }));

    /* Ranges: both sides share them, and a unit of ground is as long across as down. */
    let perPixel = 1;
    const size = () => [Math.max(canvas.clientWidth, 1), Math.max(canvas.clientHeight, 1)];
    function show(x, y, units) {
      const [w, h] = size();
      perPixel = units;
      xs.setv({ start: x - (w * units) / ratio / 2, end: x + (w * units) / ratio / 2 });
      ys.setv({ start: y - (h * units) / 2, end: y + (h * units) / 2 });
    }
    const middle = () => [(xs.start + xs.end) / 2, (ys.start + ys.end) / 2];
    function home() {
      const [left, bottom, right, top] = told.bounds, [w, h] = size();
      const units = 1.04 * Math.max(((right - left) * ratio) / w, (top - bottom) / h);
      show((left + right) / 2, (bottom + top) / 2, units || 1);
    }
    function zoom(factor) {
      show(...middle(), perPixel * factor);
    }

    function drawScale() {
      perPixel = (ys.end - ys.start) / size()[1];
      bar.hidden = !told.metres;
      if (bar.hidden) return;
      const metres = ((xs.end - xs.start) / size()[0]) * told.metres[0];
      const most = metres * 110, power = 10 ** Math.floor(Math.log10(most));
      const length = power * Math.max(...[1, 2, 5].filter((step) => step * power <= most));
      bar.firstElementChild.style.width = length / metres + "px";
      bar.firstElementChild.textContent = length >= 1000 ? length / 1000 + " km" : length + " m";
    }

    /* What is seen. */
    function drawLayer(layer) {
      for (const side of ["left", "right"]) {
        for (const part of layer.parts[side]) {
          part.visible = layer.seen[side];
          const glyph = part.glyph;
          if (layer.kind === "shapes") {
            glyph.setv({ line_alpha: { value: layer.opacity } });
            if ("fill_alpha" in glyph) {
              glyph.setv({ fill_alpha: { value: layer.opacity * (glyph.type === "Scatter" ? 1 : told.fill) } });
            }
          } else {
            glyph.setv({ global_alpha: { value: layer.opacity } });
          }
        }
      }
    }
    function drawClasses() {
      for (const layer of layers) {
        if (!layer.classes.length) continue;
        layer.mapper.palette = layer.classes.map((k) => told.classes[k].color + (on[k] ? "ff" : "00"));
      }
    }

    /* What is under the pointer. */
    function pixel(source, renderer, x, y) {
      const { x: left, y: bottom, dw, dh } = renderer.glyph;
      const image = source.data.image[0], [rows, cols] = image.shape;
      const col = Math.floor(((x - left.value) / dw.value) * cols), row = Math.floor(((y - bottom.value) / dh.value) * rows);
      if (col < 0 || row < 0 || col >= cols || row >= rows) return null;
      const value = image[row * cols + col];
      return value === 255 ? null : value;
    }
    function inRings(rings, x, y) {
      let inside = false;
      for (const [px, py] of rings) {
        for (let i = 0, j = px.length - 1; i < px.length; j = i++) {
          if (py[i] > y !== py[j] > y && x < ((px[j] - px[i]) * (y - py[i])) / (py[j] - py[i]) + px[i]) inside = !inside;
        }
      }
      return inside;
    }
    const boxes = new Map();
    function ringsOf(source) {
      if (!boxes.has(source)) {
        const { xs: px, ys: py } = source.data;
        boxes.set(source, Array.from(px, (part, i) => {
          const rings = [];
          const box = [Infinity, Infinity, -Infinity, -Infinity];
          Array.from(part).forEach((polygon, j) => Array.from(polygon).forEach((ring, r) => {
            const ringY = py[i][j][r];
            rings.push([ring, ringY]);
            for (const v of ring) { if (v < box[0]) box[0] = v; if (v > box[2]) box[2] = v; }
            for (const v of ringY) { if (v < box[1]) box[1] = v; if (v > box[3]) box[3] = v; }
          }));
          return { rings, box };
        }));
      }
      return boxes.get(source);
    }
    function shapeAt(layer, x, y) {
      for (const { kind, source } of layer.sources) {
        const visible = (i) => on[layer.classes[source.data.k[i]]];
        if (kind === "multi_polygons") {
          const all = ringsOf(source);
          for (let i = all.length - 1; i >= 0; i--) {
            const { rings, box } = all[i];
            if (x < box[0] || x > box[2] || y < box[1] || y > box[3] || !visible(i)) continue;
            if (inRings(rings, x, y)) return [source, i];
          }
        } else if (kind === "scatter") {
          const reach = 7 * perPixel;
          for (let i = source.data.x.length - 1; i >= 0; i--) {
            const dx = (source.data.x[i] - x) * ratio, dy = source.data.y[i] - y;
            if (dx * dx + dy * dy < reach * reach && visible(i)) return [source, i];
          }
        }
      }
      return null;
    }
    function lonLat(x, y) {
      if (!told.lonlat) return null;
      const [left, bottom, right, top] = told.bounds, n = told.nodes - 1;
      const u = ((x - left) / (right - left)) * n, v = ((y - bottom) / (top - bottom)) * n;
      const i = Math.min(Math.max(Math.floor(u), 0), n - 1), j = Math.min(Math.max(Math.floor(v), 0), n - 1);
      const [lon, lat] = told.lonlat.map((axis) => {
        const at = (row, col) => axis[row * told.nodes + col], a = u - i, b = v - j;
        return (1 - b) * ((1 - a) * at(j, i) + a * at(j, i + 1)) + b * ((1 - a) * at(j + 1, i) + a * at(j + 1, i + 1));
      });
      return [((((lon + 180) % 360) + 360) % 360) - 180, lat];
    }
    const degrees = (value, signs) => Math.abs(value).toFixed(5) + "° " + signs[value < 0 ? 1 : 0];
    function element(tag, text, name) {
      const made = document.createElement(tag);
      made.textContent = text;
      if (name) made.className = name;
      return made;
    }
    function line(of, text, color) {
      const made = document.createElement("div");
      if (color) made.appendChild(element("i", "", "swatch")).style.background = color;
      made.append(element("span", text), element("span", of, "of"));
      return made;
    }
    function lines(layer, x, y) {
      if (layer.kind === "classes") {
        const k = layer.classes[pixel(layer.sources[0].source, layer.parts.left[0], x, y)];
        return k === undefined || !on[k] ? [] : [line(layer.name, told.classes[k].name, told.classes[k].color)];
      }
      if (layer.kind === "share") {
        const value = pixel(layer.sources[0].source, layer.parts.left[0], x, y);
        return value === null ? [] : [line(layer.name, "confidence " + value + " %")];
      }
      const hit = layer.kind === "shapes" ? shapeAt(layer, x, y) : null;
      if (!hit) return [];
      const [source, i] = hit, item = told.classes[layer.classes[source.data.k[i]]];
      const facts = [item.name];
      const confidence = source.data.confidence && source.data.confidence[i];
      const area = source.data.area_ha && source.data.area_ha[i];
      if (typeof confidence === "number" && isFinite(confidence)) facts.push("confidence " + Math.round(100 * confidence) + " %");
      if (typeof area === "number" && isFinite(area)) facts.push(Number(area.toPrecision(3)) + " ha");
      return [line(layer.name, facts.join(", "), item.color)];
    }
    function point(event) {
      if (event.target.closest(".swipe, .zoom")) return void (hover.hidden = true);
      const box = canvas.getBoundingClientRect(), [w, h] = size();
      const px = event.clientX - box.left, py = event.clientY - box.top;
      const x = xs.start + (px / w) * (xs.end - xs.start), y = ys.end - (py / h) * (ys.end - ys.start);
      hover.replaceChildren();
      for (const layer of [...layers].reverse()) {
        // Also what lies on the other side of the line: that is what one compares.
        if (layer.kind === "share" || layer.seen.left || layer.seen.right) hover.append(...lines(layer, x, y));
      }
      const place = lonLat(x, y);
      if (place) hover.append(element("span", degrees(place[1], "NS") + ", " + degrees(place[0], "EW"), "where"));
      const digits = Math.min(Math.max(Math.ceil(-Math.log10(perPixel)), 0), 6);
      const plain = told.crs ? [told.crs + "  ", " ", ""] : ["column ", ", row ", ""];
      hover.append(element("span", plain[0] + x.toFixed(digits) + plain[1] + (told.down ? -y : y).toFixed(digits), "where"));
      hover.hidden = false;
      hover.style.left = (px > w / 2 ? Math.max(px - hover.offsetWidth - 14, 2) : Math.min(px + 14, w - hover.offsetWidth - 2)) + "px";
      hover.style.top = Math.max(Math.min(py + 14, h - hover.offsetHeight - 4), 2) + "px";
    }

    /* The line between the sides. */
    let at = 50;
    function move(percent) {
      at = Math.min(Math.max(percent, 0), 100);
      stage.style.setProperty("--at", at + "%");
      swipe.setAttribute("aria-valuenow", String(Math.round(at)));
    }
    swipe.addEventListener("pointerdown", (event) => {
      swipe.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    swipe.addEventListener("pointermove", (event) => {
      if (!swipe.hasPointerCapture(event.pointerId)) return;
      move((100 * (event.clientX - canvas.getBoundingClientRect().left)) / size()[0]);
    });
    swipe.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -2, ArrowRight: 2, PageDown: -20, PageUp: 20, Home: -100, End: 100 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      move(at + step);
    });

    stage.addEventListener("pointermove", point);
    stage.addEventListener("pointerdown", point);
    stage.addEventListener("pointerleave", () => (hover.hidden = true));
    root.querySelector(".in").addEventListener("click", () => zoom(1 / 1.6));
    root.querySelector(".out").addEventListener("click", () => zoom(1.6));
    root.querySelector(".home").addEventListener("click", home);
    for (const row of root.querySelectorAll(".layer")) {
      const layer = layers[Number(row.dataset.layer)];
      const sides = [...row.querySelectorAll("input[data-side]")], opacity = row.querySelector(".opacity");
      const read = () => {
        for (const input of sides) layer.seen[input.dataset.side] = input.checked;
        layer.opacity = opacity.value / 100;
        drawLayer(layer);
      };
      for (const input of [...sides, opacity]) input.addEventListener("input", read);
      read();
    }
    const boxesOf = (from) => [...from.querySelectorAll("input[data-class]")];
    function readClasses() {
      for (const input of boxesOf(root)) on[Number(input.dataset.class)] = input.checked;
      drawClasses();
    }
    for (const input of boxesOf(root)) input.addEventListener("input", readClasses);
    for (const button of root.querySelectorAll("button[data-all]")) {
      button.addEventListener("click", () => {
        for (const input of boxesOf(button.closest("fieldset"))) input.checked = button.dataset.all === "true";
        readClasses();
      });
    }
    readClasses();

    xs.change.connect(drawScale);
    ys.change.connect(drawScale);
    let before = size();
    new ResizeObserver(() => {
      const now = size();
      if (now[0] === before[0] && now[1] === before[1]) return;
      before = now;
      show(...middle(), perPixel);
    }).observe(stage);
    home();
    drawScale();
    root.dataset.ready = "true";
    return true;
  }

  /* Bokeh builds its figures when the page has been read; until then there is nothing to hold on to. */
  const waiting = new Set(document.querySelectorAll(".viewer"));
  (function wait() {
    for (const root of [...waiting]) if (typeof Bokeh !== "undefined" && begin(root)) waiting.delete(root);
    if (waiting.size) setTimeout(wait, 30);
  })();
})();
