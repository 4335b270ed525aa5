// Networks that run in the page, and the controls that move them: no kernel, no other file, no request.
//
// `ganLive.network(name, nodes, text)` keeps a network that `gan_helpers.live` has written; `ganLive.start()` fills every
// element of class gan-live that waits. A page may hold this script many times: the first one serves all.
(() => {
  if (window.ganLive) return;

  // --- arithmetic: a table of numbers is {shape, data}, rows first, as NumPy keeps them

  const sizeOf = shape => shape.reduce((product, side) => product * side, 1);
  const table = shape => ({shape, data: new Float32Array(sizeOf(shape))});
  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer;
  const floats = text => new Float32Array(bytes(text));

  const unary = {
    Relu: x => Math.max(x, 0),
    LeakyRelu: (x, {alpha}) => x > 0 ? x : alpha * x,
    Elu: x => x > 0 ? x : Math.expm1(x),
    Selu: x => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    Relu6: x => Math.min(Math.max(x, 0), 6),
    Sigmoid: x => 1 / (1 + Math.exp(-x)),
    Tanh: Math.tanh,
    Softplus: x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    Exp: Math.exp, Log: Math.log, Sqrt: Math.sqrt, Abs: Math.abs, Sin: Math.sin, Cos: Math.cos,
    Floor: Math.floor, Trunc: Math.trunc, Neg: x => -x, Square: x => x * x, Rsqrt: x => 1 / Math.sqrt(x),
  };
  const binary = {
    AddV2: (a, b) => a + b, BiasAdd: (a, b) => a + b, Sub: (a, b) => a - b, Mul: (a, b) => a * b,
    RealDiv: (a, b) => a / b, Maximum: Math.max, Minimum: Math.min, Pow: Math.pow,
    SquaredDifference: (a, b) => (a - b) ** 2,
    Less: (a, b) => +(a < b), LessEqual: (a, b) => +(a <= b), Greater: (a, b) => +(a > b), GreaterEqual: (a, b) => +(a >= b),
  };

  // Where the number i of a table of this shape is found in a smaller one that is repeated to fill it.
  function places(shape, smaller) {
    const steps = [], n = sizeOf(shape);
    for (let axis = shape.length - 1, inner = 1, step = 1; axis >= 0; axis--) {
      const side = smaller[axis - shape.length + smaller.length] ?? 1;
      steps.push([inner, shape[axis], side === 1 ? 0 : step]);
      inner *= shape[axis];
      step *= side;
    }
    return Int32Array.from({length: n}, (_, i) =>
      steps.reduce((place, [inner, side, step]) => place + Math.floor(i / inner) % side * step, 0));
  }

  function combine(f, a, b, out, node) {
    // Which number of a or b belongs to which of the result is found once; most often one repeats along the last axis.
    node.where ??= [a, b].map(x => sizeOf(x.shape) === out.data.length ? null : places(out.shape, x.shape));
    const [ofA, ofB] = node.where, y = out.data;
    for (let i = 0; i < y.length; i++) y[i] = f(a.data[ofA ? ofA[i] : i], b.data[ofB ? ofB[i] : i]);
  }

  // Four rows of weights at a time, so that each sum is fetched and stored once for four products.
  function multiply(a, b, out) {
    const [rows, inner] = a.shape, columns = b.shape[1], x = a.data, w = b.data, y = out.data;
    for (let row = 0; row < rows; row++) {
      const from = row * inner, to = row * columns;
      let k = 0;
      for (; k + 4 <= inner; k += 4) {
        const [f, g, h, i] = x.subarray(from + k, from + k + 4);
        const p = k * columns, q = p + columns, r = q + columns, s = r + columns;
        for (let j = 0; j < columns; j++) y[to + j] += f * w[p + j] + g * w[q + j] + h * w[r + j] + i * w[s + j];
      }
      for (; k < inner; k++) {
        const f = x[from + k], p = k * columns;
        for (let j = 0; j < columns; j++) y[to + j] += f * w[p + j];
      }
    }
  }

  // How far a window of `size` begins before the picture, so that `count` windows cover `length`.
  const before = (node, count, step, size, length) =>
    node.padding === 'SAME' ? Math.floor(Math.max((count - 1) * step + size - length, 0) / 2) : 0;

  // Calls `visit(place in the picture, place in the table)` for all pixels below all places of a window: the table has
  // a row for each place, and in it `depth` numbers for each pixel of the window.
  function windows(picture, places, kernel, node, depth, visit) {
    const [images, height, width] = picture, [, rows, columns] = places, [tall, wide] = kernel, [down, right] = node.strides;
    const top = before(node, rows, down, tall, height), left = before(node, columns, right, wide, width);
    let at = 0;
    for (let n = 0; n < images; n++) for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++)
      for (let p = 0; p < tall; p++) for (let q = 0; q < wide; q++, at += depth) {
        const r = i * down + p - top, c = j * right + q - left;
        if (r >= 0 && c >= 0 && r < height && c < width) visit(((n * height + r) * width + c) * depth, at);
      }
  }

  // What lies below each window becomes a row, to be multiplied with the kernel.
  function convolve(x, kernel, out, node) {
    const channels = x.shape[3], inner = kernel.shape[0] * kernel.shape[1] * channels, filters = out.shape[3];
    const seen = table([out.data.length / filters, inner]);
    windows(x.shape, out.shape, kernel.shape, node, channels, (from, to) => {
      for (let k = 0; k < channels; k++) seen.data[to + k] = x.data[from + k];
    });
    multiply(seen, {shape: [inner, filters], data: kernel.data}, out);
  }

  // Transposed: each pixel of x gives a multiple of the kernel, which is added to what lies below the window.
  function spread(x, kernel, out, node) {
    const channels = x.shape[3], filters = out.shape[3], width = kernel.data.length / channels;
    const turned = node.turned ??= kernel.data.map((_, i) => kernel.data[i % width * channels + Math.floor(i / width)]);
    const stamps = table([x.data.length / channels, width]);
    multiply({shape: [stamps.shape[0], channels], data: x.data}, {shape: [channels, width], data: turned}, stamps);
    windows(out.shape, x.shape, kernel.shape, node, filters, (to, from) => {
      for (let f = 0; f < filters; f++) out.data[to + f] += stamps.data[from + f];
    });
  }

  function reduce(x, out, node) {
    const shape = x.shape.map((side, axis) => node.axes.includes(axis) ? 1 : side);
    const where = node.where ??= places(x.shape, shape), count = x.data.length / out.data.length;
    if (node.op === 'Max') out.data.fill(-Infinity);
    for (let i = 0; i < x.data.length; i++) {
      const to = where[i];
      out.data[to] = node.op === 'Max' ? Math.max(out.data[to], x.data[i]) : out.data[to] + x.data[i];
    }
    if (node.op === 'Mean') for (let i = 0; i < out.data.length; i++) out.data[i] /= count;
  }

  function softmax(x, out) {
    const width = x.shape.at(-1);
    for (let from = 0; from < x.data.length; from += width) {
      const row = x.data.subarray(from, from + width), largest = Math.max(...row);
      const powers = row.map(value => Math.exp(value - largest)), sum = powers.reduce((a, b) => a + b);
      out.data.set(powers.map(power => power / sum), from);
    }
  }

  function join(parts, out, node) {
    const outer = sizeOf(out.shape.slice(0, node.axis));
    for (let i = 0, to = 0; i < outer; i++)
      for (const {data} of parts) {
        const width = data.length / outer;
        out.data.set(data.subarray(i * width, (i + 1) * width), to);
        to += width;
      }
  }

  function choose(parts, out, node) {
    const [ofTest, ofA, ofB] = node.where ??= parts.map(part => places(out.shape, part.shape)), [test, a, b] = parts;
    out.data.forEach((_, i) => { out.data[i] = test.data[ofTest[i]] ? a.data[ofA[i]] : b.data[ofB[i]]; });
  }

  const others = {
    SelectV2: choose,
    MatMul: ([a, b], out) => multiply(a, b, out),
    BatchMatMulV2: ([a, b], out) => {
      const [rows, inner] = a.shape.slice(-2), columns = b.shape.at(-1), one = ({data}, i, size) => data.subarray(i * size, (i + 1) * size);
      for (let i = 0; i < out.data.length / (rows * columns); i++)
        multiply({shape: [rows, inner], data: one(a, i, rows * inner)}, {shape: [inner, columns], data: one(b, i, inner * columns)},
          {data: one(out, i, rows * columns)});
    },
    Conv2D: ([x, kernel], out, node) => convolve(x, kernel, out, node),
    Conv2DBackpropInput: ([kernel, x], out, node) => spread(x, kernel, out, node),
    Mean: ([x], out, node) => reduce(x, out, node),
    Sum: ([x], out, node) => reduce(x, out, node),
    Max: ([x], out, node) => reduce(x, out, node),
    Softmax: ([x], out) => softmax(x, out),
    ConcatV2: join,
    Take: ([x, where], out) => out.data.forEach((_, i) => { out.data[i] = where.data[i] < 0 ? 0 : x.data[where.data[i]]; }),
    Rows: ([x, where], out) => {
      const width = out.data.length / where.data.length;
      where.data.forEach((row, i) => out.data.set(x.data.subarray(row * width, (row + 1) * width), i * width));
    },
    OneHot: ([where], out, node) =>
      where.data.forEach((place, i) => { if (place >= 0 && place < node.depth) out.data[i * node.depth + place] = 1; }),
  };

  // Weights are whole numbers from -127 to 127, with a scale for each index of the last axis.
  function constant({type, shape, data, scale}, memory) {
    const raw = memory.slice(...data);
    if (type === 'float32') return {shape, data: new Float32Array(raw)};
    if (type === 'int32') return {shape, data: new Int32Array(raw)};
    if (type === 'uint8') return {shape, data: Float32Array.from(new Uint8Array(raw), value => value / 255)};
    const scales = new Float32Array(memory.slice(...scale)), last = scales.length;
    return {shape, data: Float32Array.from(new Int8Array(raw), (value, i) => value * scales[i % last])};
  }

  const inflated = text =>
    new Response(new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();

  const networks = {};  // functions from named inputs to the last table of numbers, or promises of them

  function build(written, memory) {
    const nodes = written.map(node => node.op === 'Const' ? {value: constant(node, memory)} : {...node});
    return inputs => {
      const values = [];
      for (const node of nodes) {
        if (node.value) { values.push(node.value); continue; }
        if (node.op === 'Input') {
          values.push({shape: node.shape, data: Float32Array.from(inputs[node.name])});
          continue;
        }
        const parts = node.from.map(place => values[place]);
        if (node.op === 'Reshape') { values.push({shape: node.shape, data: parts[0].data}); continue; }
        const out = table(node.shape), f = unary[node.op];
        if (f) for (let i = 0; i < out.data.length; i++) out.data[i] = f(parts[0].data[i], node);
        else if (binary[node.op]) combine(binary[node.op], ...parts, out, node);
        else others[node.op](parts, out, node);
        values.push(out);
      }
      return values.at(-1);
    };
  }

  // --- pictures

  // Images in rows, as `plotting.tile` lays them out: grey lines between them, white where there is none.
  function sheet(canvas, {shape: [n, height, width, channels], data}, columns, scale) {
    columns = Math.min(columns, n);
    const rows = Math.ceil(n / columns);
    canvas.width = columns * (width + 1) - 1;
    canvas.height = rows * (height + 1) - 1;
    canvas.style.width = `${scale * canvas.width}px`;
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    const picture = pen.createImageData(canvas.width, canvas.height);
    for (let y = 0; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) {
      const image = Math.floor(y / (height + 1)) * columns + Math.floor(x / (width + 1));
      const i = y % (height + 1), j = x % (width + 1), to = 4 * (y * canvas.width + x);
      for (let c = 0; c < 3; c++) {
        const channel = channels === 1 ? 0 : c;
        let value = image >= n ? 1 : 0.5;
        if (image < n && i < height && j < width) value = data[((image * height + i) * width + j) * channels + channel];
        picture.data[to + c] = Math.round(255 * value);
      }
      picture.data[to + 3] = 255;
    }
    pen.putImageData(picture, 0, 0);
  }

  // Pictures, one in each table, as one table.
  function stack(pictures) {
    const all = table([pictures.length, ...pictures[0].shape.slice(1)]);
    pictures.forEach(({data}, i) => all.data.set(data, i * data.length));
    return all;
  }

  function checked(images) {
    if (!images.data.every(value => value >= -0.001 && value <= 1.001))
      throw new Error('the images do not lie in [0, 1].');
    return images;
  }

  // --- codes

  // Numbers of a normal distribution, always the same row of them.
  function normals(seed) {
    const uniform = () => {
      seed = seed + 0x6D2B79F5 | 0;
      let t = Math.imul(seed ^ seed >>> 15, seed | 1);
      t ^= t + Math.imul(t ^ t >>> 7, t | 61);
      return ((t ^ t >>> 14) >>> 0) / 4294967296;
    };
    return n => Float32Array.from({length: n}, () =>
      Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  // A code on the arc between two, as `widgets.arc` says it.
  function arc(start, end, t) {
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const lengths = Math.sqrt(dot(start, start) * dot(end, end)), cosine = dot(start, end) / (lengths || 1);
    const angle = lengths > 0 && cosine > -1 + 1e-9 ? Math.acos(Math.min(Math.max(cosine, -1), 1)) : 0;
    const share = part => angle ? Math.sin(part * angle) / Math.sin(angle) : part;
    return start.map((value, i) => share(1 - t) * value + share(t) * end[i]);
  }

  // --- drawing

  // Makes the tools in `box` draw on its canvas: pen, eraser, a menu of drawings, a file of the reader's own. Calls
  // `send` with the greys of the drawing, 0 ink and 1 paper, side by side, at most once for each frame of the screen.
  function pad(box, side, send) {
    const canvas = box.querySelector('canvas'), size = canvas.width, ink = canvas.getContext('2d');
    const [file, pen, erase] = ['file', 'range', 'checkbox'].map(kind => box.querySelector(`input[type=${kind}]`));
    const menu = box.querySelector('select'), small = element('canvas', {width: side, height: side});
    const shrunk = small.getContext('2d', {willReadFrequently: true});
    let last = null, waits = false;
    const tell = () => {
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => {
        waits = false;
        shrunk.imageSmoothingQuality = 'high';
        shrunk.drawImage(canvas, 0, 0, side, side);
        const {data} = shrunk.getImageData(0, 0, side, side);
        send(Float32Array.from({length: side * side}, (_, i) => (data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 765));
      });
    };
    const clear = () => { ink.fillStyle = 'white'; ink.fillRect(0, 0, size, size); };
    const place = event => {
      const at = canvas.getBoundingClientRect();
      return [event.clientX - at.left, event.clientY - at.top].map(x => x * size / at.width);
    };
    const stroke = event => {
      if (!last) return;
      const next = place(event);
      ink.strokeStyle = erase.checked ? 'white' : 'black';
      ink.lineWidth = pen.value * size / side;
      ink.lineCap = 'round';
      ink.beginPath();
      ink.moveTo(...last);
      ink.lineTo(...next);
      ink.stroke();
      last = next;
      tell();
    };
    const show = source => {
      const picture = new Image();
      picture.onload = () => {
        clear();
        const scale = size / Math.max(picture.width, picture.height);
        const [width, height] = [picture.width * scale, picture.height * scale];
        ink.imageSmoothingEnabled = picture.width !== side;
        ink.drawImage(picture, (size - width) / 2, (size - height) / 2, width, height);
        tell();
      };
      picture.src = source;
    };
    canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); last = place(event); stroke(event); };
    canvas.onpointermove = stroke;
    canvas.onpointerup = canvas.onpointercancel = () => { last = null; };
    menu.onchange = () => show(`data:image/png;base64,${menu.value}`);
    // In the script of a widget the plain name URL is that of the document.
    file.onchange = () => { if (file.files.length) show(window.URL.createObjectURL(file.files[0])); };
    box.querySelector('button').onclick = () => { clear(); tell(); };
    menu.onchange();
  }

  // --- the kinds of pictures: each makes `draw(values)`, and may add to what stands under the controls

  const kinds = {
    // An explorer of codes. Its controls in order: menus, codes, shifts along directions, the walk.
    explorer(spec, page) {
      const {row, dim} = spec, draw = normals(spec.seed);
      const directions = floats(spec.directions);
      let start = floats(spec.start), end = floats(spec.end), path = [];
      const record = page.checkbox(spec.record, () => { path = []; strip.hidden = !record.checked; page.redraw(); });
      page.button(spec.renew, () => {
        if (!spec.given) start = draw(row * dim);
        end = draw(row * dim);
        page.reset('slider');
      }, record.parentNode);
      page.button(spec.reset, () => page.reset('slider'), record.parentNode);
      const strip = page.canvas(record.parentNode.parentNode);
      strip.hidden = true;
      strip.setAttribute('aria-label', 'the path that was recorded');
      return values => {
        const inputs = {}, menus = spec.menus, codes = spec.codes, pictures = [];
        menus.forEach((name, i) => { inputs[name] = [values[i]]; });
        const shifts = values.slice(menus.length + codes, -1), walk = values.at(-1);
        if (codes) inputs.codes = values.slice(menus.length, menus.length + codes);
        for (let n = 0; n < row; n++) {
          inputs.z = arc(start.subarray(n * dim, (n + 1) * dim), end.subarray(n * dim, (n + 1) * dim), walk);
          shifts.forEach((shift, k) => inputs.z.forEach((_, i) => { inputs.z[i] += shift * directions[k * dim + i]; }));
          pictures.push(checked(spec.run(inputs)));
        }
        const images = stack(pictures);
        sheet(page.picture, images, 8, spec.scale);
        if (record.checked) {
          path = [...path, pictures[0]].slice(-spec.path);
          sheet(strip, stack(path), spec.path, 1);
        }
      };
    },

    // A point over a plane of codes, and beside it what it decodes to: over a picture of all that stands still.
    plane(spec, page) {
      const still = new Image(), small = document.createElement('canvas');
      still.onload = page.redraw;
      still.src = spec.still;
      return code => {
        const images = checked(spec.run({codes: code})), pen = page.picture.getContext('2d');
        [page.picture.width, page.picture.height] = spec.size;
        page.picture.style.width = `${spec.size[0]}px`;
        pen.drawImage(still, 0, 0);
        sheet(small, images, 1, 1);
        pen.imageSmoothingEnabled = false;
        pen.drawImage(small, ...spec.image);
        const [x, y] = code.map((value, i) => spec.origin[i] + value * spec.unit[i]);
        pen.beginPath();
        pen.arc(x, y, spec.radius, 0, 2 * Math.PI);
        pen.fillStyle = 'white';
        pen.fill();
        pen.lineWidth = 1.2;
        pen.strokeStyle = 'black';
        pen.stroke();
      };
    },

    // A drawing, and what a network makes of it.
    pad(spec, page) {
      let drawing = null;
      const tools = element('div', {innerHTML: spec.tools});
      page.box.prepend(tools);
      pad(tools, spec.side, greys => { drawing = greys; page.redraw(); });
      return () => {
        if (!drawing) return;
        const images = checked(spec.run({drawing}));
        sheet(page.picture, images, 1, Math.max(1, Math.round(spec.size / images.shape[1])));
      };
    },

    // Pictures that were drawn beforehand, one for each place of the controls.
    frames(spec, page) {
      const parts = spec.frames.map(([source, x, y]) => {
        if (!source) return null;
        const picture = new Image();
        picture.onload = page.redraw;
        picture.src = source;
        return {picture, x, y};
      });
      return values => {
        const at = spec.controls.reduce((at, {min, max, places}, i) =>
          at * places + Math.round((values[i] - min) / (max - min) * (places - 1)), 0);
        const first = parts[0].picture, part = parts[at + 1], pen = page.picture.getContext('2d');
        [page.picture.width, page.picture.height] = [first.naturalWidth, first.naturalHeight];
        page.picture.style.width = `${first.naturalWidth}px`;
        pen.drawImage(first, 0, 0);
        if (part) pen.drawImage(part.picture, part.x, part.y);
      };
    },
  };

  // --- the page

  const style = `
    .gan-live { display: flex; flex-flow: row wrap; gap: 12px 24px; align-items: flex-start; font: 14px/1.4 sans-serif;
      color: inherit; text-align: left; margin: 4px; }
    .gan-live * { box-sizing: border-box; }
    .gan-live .gan-controls { flex: 0 1 440px; min-width: 0; }
    .gan-live label.gan-row { display: grid; grid-template-columns: 140px 1fr 52px; gap: 8px; align-items: center;
      min-height: 32px; }
    .gan-live label.gan-row span { text-align: right; }
    .gan-live input[type=range] { width: 100%; min-width: 0; margin: 0; accent-color: #0072B2; }
    .gan-live select, .gan-live button { font: inherit; padding: 4px 8px; max-width: 100%; }
    .gan-live .gan-row select { grid-column: 2 / 4; }
    .gan-live .gan-buttons { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 6px 0; }
    .gan-live canvas { image-rendering: pixelated; max-width: 100%; height: auto; display: block; }
    .gan-live canvas[hidden] { display: none; }
    .gan-live [role=alert]:empty { display: none; }
    .gan-live .gan-picture-box { flex: 0 1 auto; min-width: 0; max-width: 100%; }`;

  function element(name, settings = {}, ...children) {
    const made = Object.assign(document.createElement(name), settings);
    made.append(...children);
    return made;
  }

  function fill(host, spec) {
    const picture = element('canvas');
    const box = element('div', {className: 'gan-controls'}), problem = element('div');
    problem.setAttribute('role', 'alert');
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', spec.alt);
    let waits = false;
    const page = {
      picture, box,
      redraw() {
        if (waits) return;
        waits = true;
        requestAnimationFrame(() => { waits = false; page.now(); });
      },
      now() {
        try {
          draw(controls.map(control => control.read()));
          problem.textContent = '';
        } catch (error) {
          problem.textContent = `⚠ This picture could not be drawn: ${error.message}`;
        }
      },
      reset(kind) {
        controls.forEach(control => { if (control.kind === kind) control.write(control.value); });
        page.redraw();
      },
      button(text, act, place) {
        const button = element('button', {type: 'button', textContent: text});
        button.addEventListener('click', act);
        place.parentNode.insertBefore(button, place);
        return button;
      },
      checkbox(text, act) {
        const box = element('input', {type: 'checkbox'});
        box.addEventListener('change', act);
        buttons.append(element('label', {}, box, ` ${text}`));
        return box;
      },
      canvas(place) {
        const canvas = element('canvas');
        canvas.setAttribute('role', 'img');
        place.after(canvas);
        return canvas;
      },
    };

    const controls = spec.controls.map(control => {
      const isMenu = control.kind === 'menu', text = element('output');
      const input = isMenu
        ? element('select', {}, ...control.options.map((name, i) => element('option', {value: i, textContent: name})))
        : element('input', {type: 'range', min: control.min, max: control.max, step: control.step});
      input.setAttribute('aria-label', control.label);  // without the number beside it
      const say = () => {
        const value = Number(input.value);
        text.textContent = control.options ? control.options[value] : value.toFixed(control.digits);
        if (!isMenu) input.setAttribute('aria-valuetext', text.textContent);
      };
      const made = {
        ...control,
        read: () => Number(input.value),
        write(value) { input.value = value; say(); },
      };
      made.write(control.value);
      input.addEventListener('input', () => { say(); page.redraw(); });
      box.append(element('label', {className: 'gan-row'}, element('span', {textContent: control.label}), input, ...(isMenu ? [] : [text])));
      return made;
    });
    const buttons = element('div', {className: 'gan-buttons'});
    box.append(buttons, problem);
    const draw = kinds[spec.kind](spec, page);
    page.now();
    // Without this JupyterLab takes the arrow keys to itself.
    box.querySelectorAll('input, select, button').forEach(tool => tool.setAttribute('data-lm-suppress-shortcuts', 'true'));
    host.replaceChildren(box, element('div', {className: 'gan-picture-box'}, picture));
    host.ganLive = {page, controls};
  }

  let filled = Promise.resolve();

  window.ganLive = {
    networks, pad,
    network(name, nodes, text) { networks[name] ??= inflated(text).then(memory => build(nodes, memory)); },
    start() {
      if (!document.getElementById('gan-live-style'))
        document.head.append(element('style', {id: 'gan-live-style', textContent: style}));
      for (const host of document.querySelectorAll('.gan-live[data-live]:not([data-ready])')) {
        const spec = JSON.parse(host.dataset.live);
        if (spec.network && !networks[spec.network]) {  // it stands in another output, which may be shown later
          if (!host.lastElementChild.matches('p'))
            host.append(element('p', {textContent: 'The sliders appear when the first picture of this notebook is shown.'}));
          continue;
        }
        host.dataset.ready = '';
        filled = Promise.all([filled, Promise.resolve(networks[spec.network]).then(run => fill(host, {...spec, run}))]);
      }
    },
    filled: () => filled,  // a promise that all are there
  };
})();
