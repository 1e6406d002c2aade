const at = (id) => document.getElementById(id);
const key = () => sessionStorage.getItem("key");

async function ask(path, options = {}) {
  const headers = { ...(options.headers ?? {}), ...(key() ? { Authorization: `Bearer ${key()}` } : {}) };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  if (answer.status === 401) at("keyLabel").hidden = false;
  let message = `${answer.status} ${answer.statusText}`;
  try { message = (await answer.json()).error.message; } catch {}
  throw new Error(message);
}

/** The objects of a stream of events, as they come. */
async function* events(answer) {
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("");
      if (!data || data === "[DONE]") continue;
      const object = JSON.parse(data);
      if (object.error) throw new Error(object.error.message);
      yield object;
    }
  }
}

/** The pieces of an answer of the model, thoughts apart; what it took goes to `speed`. */
async function* reply(body, speed, signal) {
  speed.textContent = "";
  const request = { ...body, stream: true, stream_options: { include_usage: true } };
  const answer = await ask("v1/chat/completions", { method: "POST", body: JSON.stringify(request), signal });
  let first, last;
  for await (const chunk of events(answer)) {
    if (chunk.usage) {
      const { prompt_tokens: read, completion_tokens: written } = chunk.usage;
      const rate = last - first > 50 ? `, ${((written - 1) * 1000 / (last - first)).toFixed(1)} a second` : "";
      speed.textContent = `${read} tokens read, ${written} written${rate}`;
    }
    const delta = chunk.choices[0]?.delta ?? {};
    const piece = { text: delta.content ?? "", thought: delta.reasoning_content ?? "" };
    if (piece.text || piece.thought) { last = performance.now(); first ??= last; }
    yield piece;
  }
}

const url = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function fail(place, error) {
  if (error.name === "AbortError") return;
  const message = element("p", { className: "error", role: "alert", textContent: error.message });
  place.append(place.localName === "ol" ? element("li", {}, message) : message);
}

function accept(zone, input, take) {
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); });
}

// Speech

let segments = [];
const clock = (seconds, point = ".") => {
  const milliseconds = Math.round(seconds * 1000);
  const parts = [milliseconds / 3600000, milliseconds / 60000 % 60, milliseconds / 1000 % 60];
  return parts.map((part) => String(Math.floor(part)).padStart(2, "0")).join(":") + point + String(milliseconds % 1000).padStart(3, "0");
};
const formats = {
  txt: () => segments.map((s) => s.text + "\n").join(""),
  srt: () => segments.map((s, i) => `${i + 1}\n${clock(s.start, ",")} --> ${clock(s.end, ",")}\n${s.text}\n\n`).join(""),
  vtt: () => "WEBVTT\n\n" + segments.map((s) => `${clock(s.start)} --> ${clock(s.end)}\n${s.text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")}\n\n`).join(""),
};

async function transcribe(file) {
  segments = [];
  at("segments").replaceChildren();
  at("downloads").hidden = true;
  at("player").src = URL.createObjectURL(file);
  at("player").hidden = false;
  const form = new FormData();
  form.append("response_format", "verbose_json");
  form.append("stream", "true");
  if (at("language").value) form.append("language", at("language").value);
  form.append("file", file, file.name ?? "recording");
  try {
    const answer = await ask(`v1/audio/${at("translate").checked ? "translations" : "transcriptions"}`, { method: "POST", body: form });
    for await (const event of events(answer)) {
      if (event.type !== "transcript.text.segment" || !event.text) continue;
      segments.push(event);
      const play = element("button", { type: "button", textContent: clock(event.start).slice(0, -4) });
      play.setAttribute("aria-label", `Play from ${play.textContent}`);
      play.addEventListener("click", () => { at("player").currentTime = event.start; at("player").play(); });
      at("segments").append(element("li", {}, play, element("span", { textContent: event.text })));
    }
    at("downloads").hidden = segments.length === 0;
    if (!segments.length) at("segments").append(element("li", { textContent: "Nobody speaks in it." }));
  } catch (error) { fail(at("segments"), error); }
}

accept(at("soundDrop"), at("sound"), transcribe);
for (const button of at("downloads").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    const link = element("a", { href: URL.createObjectURL(new Blob([formats[button.dataset.format]()])), download: `transcript.${button.dataset.format}` });
    link.click();
  });
}

let recorder;
at("record").addEventListener("click", async () => {
  if (recorder) return recorder.stop();
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    // As a WAV of 16 bits, which every server reads without another program.
    const context = new AudioContext();
    const source = context.createMediaStreamSource(stream);
    const taken = [];
    const node = context.createScriptProcessor(4096, 1, 1);
    node.onaudioprocess = (event) => taken.push(event.inputBuffer.getChannelData(0).slice());
    source.connect(node).connect(context.destination);
    at("record").setAttribute("aria-pressed", "true");
    at("record").textContent = "Stop recording";
    recorder = { stop() {
      recorder = undefined;
      at("record").setAttribute("aria-pressed", "false");
      at("record").textContent = "Record";
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      transcribe(new File([wave(taken, context.sampleRate)], "recording.wav", { type: "audio/wav" }));
    } };
  } catch (error) { fail(at("segments"), error); }
});

function wave(blocks, rate) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (place, value) => [...value].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * count, true);
  let place = 44;
  for (const block of blocks) for (const sample of block) {
    view.setInt16(place, Math.max(-1, Math.min(1, sample)) * 32767, true);
    place += 2;
  }
  return view;
}

// Picture

// The first leaves it to the model.
const budgets = [undefined, 70, 140, 280, 560, 1120];
const showBudget = () => {
  const budget = budgets[at("detail").value];
  at("budget").textContent = budget ? `up to ${budget} tokens` : "as the model has it";
  at("detail").setAttribute("aria-valuetext", at("budget").textContent);
};
at("detail").addEventListener("input", showBudget);
showBudget();

/** The picture as the model gets it, with the patches that it is cut into; of heavier lines each square is a soft token. */
async function see(image, budget) {
  const body = JSON.stringify({ image, max_soft_tokens: budget });
  const seen = await (await ask("v1/images/seen", { method: "POST", body })).json();
  const resized = new Image();
  resized.src = seen.image;
  await resized.decode();
  const canvas = at("grid");
  [canvas.width, canvas.height] = [seen.seen_width, seen.seen_height];
  const context = canvas.getContext("2d");
  context.drawImage(resized, 0, 0);
  const { patch_size: patch, pooling_kernel_size: pooled } = seen;
  for (let side = 0; side < 2; side++) {
    const [length, across] = side ? [canvas.height, canvas.width] : [canvas.width, canvas.height];
    for (let place = patch; place < length; place += patch) {
      const isToken = place / patch % pooled === 0;
      context.fillStyle = isToken ? "rgb(255 0 255 / 0.7)" : "rgb(255 0 255 / 0.2)";
      if (side) context.fillRect(0, place, across, 1); else context.fillRect(place, 0, 1, across);
    }
  }
  const patches = `${canvas.width / patch} × ${canvas.height / patch} patches of ${patch} pixels`;
  const pooling = pooled > 1 ? `, ${pooled} × ${pooled} of them a soft token` : ", each a soft token";
  const fit = `${seen.width} × ${seen.height} pixels, scaled to ${seen.seen_width} × ${seen.seen_height}: ${patches}${pooling}: `
    + `${seen.soft_tokens} of at most ${seen.max_soft_tokens}`;
  at("fit").textContent = fit;
  canvas.setAttribute("aria-label", `The picture as the model saw it: ${fit}`);
  at("seen").hidden = false;
}

let picture;
async function describe() {
  at("caption").replaceChildren();
  at("seen").hidden = true;
  at("describe").disabled = true;
  try {
    await see(picture, budgets[at("detail").value]);
    const content = [{ type: "image_url", image_url: { url: picture } }, { type: "text", text: at("question").value }];
    const body = { messages: [{ role: "user", content }], temperature: 0, mm_processor_kwargs: { max_soft_tokens: budgets[at("detail").value] } };
    for await (const { text } of reply(body, at("shown").querySelector(".speed"))) at("caption").append(text);
  } catch (error) { fail(at("caption"), error); }
  at("describe").disabled = false;
}

accept(at("pictureDrop"), at("picture"), async (file) => {
  at("preview").src = URL.createObjectURL(file);
  at("shown").hidden = false;
  picture = await url(file);
  describe();
});
at("describe").addEventListener("click", describe);

// Chat

const history = [];
let abort;
at("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (abort) return;
  const words = at("words").value;
  at("words").value = "";
  history.push({ role: "user", content: words });
  at("chat").append(element("div", { className: "turn user", textContent: words }));
  const thought = element("pre");
  const folded = element("details", { hidden: true }, element("summary", { textContent: "Thoughts" }), thought);
  const said = element("span");
  const speed = element("p", { className: "speed" });
  const turn = element("div", { className: "turn" }, folded, said, speed);
  at("chat").append(turn);
  abort = new AbortController();
  at("stop").hidden = false;
  try {
    const body = { messages: history, chat_template_kwargs: { enable_thinking: at("thinking").checked } };
    for await (const part of reply(body, speed, abort.signal)) {
      said.append(part.text);
      thought.append(part.thought);
      folded.hidden = !thought.textContent;
    }
  } catch (error) { fail(turn, error); }
  if (said.textContent) history.push({ role: "assistant", content: said.textContent });
  else history.pop();
  abort = undefined;
  at("stop").hidden = true;
  at("words").focus();
});
at("stop").addEventListener("click", () => abort?.abort());
at("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); at("say").requestSubmit(); }
});

// What the server is, and what it does

at("key").addEventListener("change", () => { sessionStorage.setItem("key", at("key").value); show(); });

async function show() {
  try {
    const model = (await (await ask("v1/models")).json()).data[0].id;
    const metrics = await (await ask("metrics")).text();
    const value = (name) => metrics.match(new RegExp(`^gemma4_${name} (.*)$`, "m"))?.[1] ?? "?";
    at("state").textContent = `${model}: ${value("answers_running")} answers are written, ${value("answers_waiting")} wait`;
  } catch (error) { at("state").textContent = error.message; }
}
show();
setInterval(() => { if (!document.hidden) show(); }, 5000);
