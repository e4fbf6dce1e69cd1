// Sends chosen files in pieces to /uploads, one after the other, and tells Python when the service has them whole.
// What was sent is remembered by name, size and time of the file, so that choosing it again goes on.

const PIECE = 32 * 1024 * 1024; // four of the service's parts: what a cut connection costs at most
const MOST_TRIES = 10;
const choosers = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const chooser = choosers.get(parentElement) ?? new Chooser(parentElement);
  choosers.set(parentElement, chooser);
  chooser.speak(data);
  chooser.onDone = (sent) => setTriggerValue("done", sent);
}

class Chooser {
  constructor(root) {
    const find = (name) => root.querySelector(name);
    this.parts = Object.fromEntries(
      ["drop", "hint", "choose", "files", "begin", "send", "stop"].map((n) => [n, find("." + n)]),
    );
    this.parts.input = find("input");
    this.parts.row = find("template");
    this.files = [];
    this.sending = null;
    this.listen();
  }

  speak(words) {
    this.words = words;
    this.parts.hint.textContent = words.drop;
    this.parts.choose.textContent = words.choose;
    this.parts.input.setAttribute("aria-label", words.choose);
    this.parts.stop.textContent = words.stop;
    for (const file of this.files) file.speak(words);
    this.refresh();
  }

  listen() {
    const { drop, choose, input, send, stop } = this.parts;
    choose.onclick = () => input.click();
    input.onchange = () => {
      this.take(input.files);
      input.value = ""; // so that the same file can be chosen again
    };
    send.onclick = () => this.send();
    stop.onclick = () => this.sending?.abort();
    drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.take(event.dataTransfer.files);
    };
  }

  // More may be chosen while others are sent; those that have arrived make room.
  take(chosen) {
    for (const file of this.files.filter((known) => known.told)) this.remove(file);
    for (const file of chosen) {
      const row = this.parts.row.content.cloneNode(true).firstElementChild;
      this.parts.files.append(row);
      this.files.push(new Sent(file, row, this.words, (gone) => this.remove(gone)));
    }
    this.refresh();
  }

  remove(file) {
    file.row.remove();
    this.files = this.files.filter((other) => other !== file);
    this.refresh();
  }

  refresh() {
    const { begin, send, stop } = this.parts;
    const left = this.files.filter((file) => !file.upload);
    begin.hidden = !left.length;
    send.hidden = Boolean(this.sending);
    stop.hidden = !this.sending;
    send.textContent = left.some((file) => file.begun) ? this.words.resume : this.words.send;
  }

  // One after the other: the line is the same for all of them.
  async send() {
    if (this.sending) return;
    this.sending = new AbortController();
    const { signal } = this.sending;
    const tried = new Set();
    this.refresh();
    let next;
    while (!signal.aborted && (next = this.files.find((file) => !file.upload && !tried.has(file)))) {
      tried.add(next);
      await next.send(signal);
      this.refresh();
    }
    this.sending = null;
    const fresh = this.files.filter((file) => file.upload && !file.told);
    for (const file of fresh) file.told = true;
    this.refresh();
    if (fresh.length) this.onDone(fresh.map((file) => ({ upload: file.upload, filename: file.chosen.name })));
  }
}

// A chosen file, its line, and how far it is.
class Sent {
  constructor(chosen, row, words, onRemove) {
    this.chosen = chosen;
    this.row = row;
    this.begun = false;
    this.upload = null;
    this.told = false;
    this.parts = Object.fromEntries(["name", "told", "drop-it", "error"].map((n) => [n, row.querySelector("." + n)]));
    this.parts.bar = row.querySelector("progress");
    this.parts.name.textContent = chosen.name;
    this.parts.told.textContent = size(chosen.size);
    this.parts["drop-it"].onclick = () => onRemove(this);
    this.speak(words);
  }

  speak(words) {
    this.words = words;
    this.parts["drop-it"].setAttribute("aria-label", `${words.remove}: ${this.chosen.name}`);
  }

  async send(signal) {
    this.begun = true;
    this.parts.error.hidden = this.parts["drop-it"].hidden = true;
    try {
      this.upload = (await sendWhole(this.chosen, signal, (done, what) => this.show(done, what))).name;
      this.parts.told.textContent = this.words.sent;
    } catch (problem) {
      this.parts["drop-it"].hidden = false;
      if (problem.name !== "AbortError") this.complain(problem);
    }
  }

  show(done, what) {
    this.parts.bar.value = this.chosen.size ? done / this.chosen.size : 1;
    this.parts.told.textContent = `${this.words[what]} ${size(done)} / ${size(this.chosen.size)}`;
  }

  complain(problem) {
    this.parts.error.textContent = problem.said?.[this.words.language] ?? this.words.lost;
    this.parts.error.hidden = false;
  }
}

async function sendWhole(file, signal, tell) {
  let upload = await begun(file, signal);
  let tries = 0;
  while (upload.open && upload.committed_bytes < file.size) {
    const at = upload.committed_bytes;
    tell(at, tries ? "waiting" : "sending");
    try {
      const piece = file.slice(at, Math.min(at + PIECE, file.size));
      upload = await ask("PUT", `${path(upload.name)}?offset=${at}`, piece, signal, (n) => tell(at + n, "sending"));
      tries = 0;
    } catch (problem) {
      if (!problem.passes || ++tries > MOST_TRIES) throw problem;
      await pause(Math.min(500 * 2 ** tries, 10000), signal);
      upload = await asOftenAsItTakes(() => ask("GET", path(upload.name), null, signal), signal);
    }
  }
  tell(file.size, "closing");
  if (upload.open) {
    upload = await asOftenAsItTakes(() => ask("POST", `${path(upload.name)}/finalize`, null, signal), signal);
  }
  return upload;
}

async function begun(file, signal) {
  const key = `aift-upload:${file.name}:${file.size}:${file.lastModified}`;
  const known = localStorage.getItem(key);
  if (known) {
    try {
      const upload = await ask("GET", path(known), null, signal);
      if (upload.open || upload.finalized) return upload;
    } catch (problem) {
      if (problem.passes || problem.name === "AbortError") throw problem;
    }
  }
  const body = JSON.stringify({ filename: file.name, size_bytes: file.size });
  const upload = await ask("POST", "/uploads", body, signal);
  localStorage.setItem(key, upload.name);
  return upload;
}

async function asOftenAsItTakes(call, signal) {
  for (let tries = 0; ; tries++) {
    try {
      return await call();
    } catch (problem) {
      if (!problem.passes || tries >= MOST_TRIES) throw problem;
      await pause(Math.min(500 * 2 ** tries, 10000), signal);
    }
  }
}

// fetch() tells nothing about a body on its way; XMLHttpRequest does.
function ask(method, url, body, signal, onSent) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted());
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.open(method, url);
    request.responseType = "json";
    request.setRequestHeader("x-aift-page", "1");
    if (onSent) request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve(request.response);
      const passes = request.status === 409 || request.status >= 502;
      reject(Object.assign(new Error(method), { said: request.response?.message, passes: passes && request.status !== 507 }));
    };
    request.onerror = () => reject(Object.assign(new Error(method), { passes: true }));
    request.onabort = () => reject(aborted());
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.send(body);
  });
}

function aborted() {
  return Object.assign(new Error("aborted"), { name: "AbortError" });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(aborted()); });
  });
}

function path(name) {
  return `/${name}`; // "uploads/{upload}"
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) { bytes /= 1024; at++; }
  return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}
