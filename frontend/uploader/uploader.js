// Sends a chosen file in pieces to /uploads, and tells Python when the service has it whole.
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
      ["drop", "hint", "choose", "file", "name", "told", "send", "stop", "error"].map((n) => [n, find("." + n)]),
    );
    this.parts.input = find("input");
    this.parts.bar = find("progress");
    this.sending = null;
    this.listen();
  }

  speak(words) {
    this.words = words;
    this.parts.hint.textContent = words.drop;
    this.parts.choose.textContent = words.choose;
    this.parts.input.setAttribute("aria-label", words.choose);
    this.parts.send.textContent = this.sent ? words.resume : words.send;
    this.parts.stop.textContent = words.stop;
  }

  listen() {
    const { drop, choose, input, send, stop } = this.parts;
    choose.onclick = () => input.click();
    input.onchange = () => this.take(input.files[0]);
    send.onclick = () => this.send();
    stop.onclick = () => this.sending?.abort();
    drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    };
  }

  take(file) {
    if (!file || this.sending) return;
    this.chosen = file;
    this.sent = 0;
    this.parts.file.hidden = false;
    this.parts.name.textContent = file.name;
    this.parts.send.hidden = false;
    this.parts.send.textContent = this.words.send;
    this.parts.error.hidden = true;
    this.parts.bar.value = 0;
    this.parts.told.textContent = size(file.size);
  }

  async send() {
    if (this.sending) return;
    this.sending = new AbortController();
    this.parts.send.hidden = true;
    this.parts.stop.hidden = false;
    this.parts.error.hidden = true;
    try {
      const upload = await sendWhole(this.chosen, this.sending.signal, (done, what) => this.show(done, what));
      this.parts.told.textContent = this.words.sent;
      this.onDone({ upload: upload.name, filename: this.chosen.name });
    } catch (problem) {
      this.parts.send.hidden = false;
      this.parts.send.textContent = this.words.resume;
      if (problem.name !== "AbortError") this.complain(problem);
    } finally {
      this.sending = null;
      this.parts.stop.hidden = true;
    }
  }

  show(done, what) {
    this.sent = done;
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
