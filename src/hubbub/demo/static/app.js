// The page of the demo: one WebSocket, some channels, no library. What others wrote is only ever set as text.

const $ = (id) => document.getElementById(id);
const FIRST_PAUSE = 250, LONGEST_PAUSE = 10_000; // milliseconds before connecting again
const KEPT = 500; // messages of a channel that stay on the page

const channels = new Map(); // name -> {members: Map, messages: [], unread}
let current = null;
let name = sessionStorage.getItem("name") ?? "";
let id = null;
let socket = null;
let failures = 0;

// Connection

function connect() {
  showState("connecting");
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.onopen = () => {
    send({ type: "hello", name });
    for (const channel of channels.keys()) send({ type: "join", channel });
  };
  socket.onmessage = ({ data }) => handlers[JSON.parse(data).type]?.(JSON.parse(data));
  socket.onclose = () => {
    id = null;
    // Full jitter: after a restart of the server, the pages come back spread out instead of all at once.
    const pause = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++);
    showState("offline");
    setTimeout(connect, pause);
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

const handlers = {
  welcome(message) {
    id = message.id;
    failures = 0;
    showState("online");
  },
  members({ channel, members }) {
    const known = channels.get(channel) ?? open(channel);
    known.members = new Map(members.map((member) => [member.id, member.name]));
    render();
  },
  joined({ channel, who }) {
    channels.get(channel)?.members.set(who.id, who.name);
    note(channel, `${who.name} joined`);
  },
  left({ channel, who }) {
    channels.get(channel)?.members.delete(who.id);
    note(channel, `${who.name} left`);
  },
  said({ channel, who, text, at }) {
    add(channel, { who, text, at, mine: who.id === id });
  },
  counts({ online, channels, rate }) {
    $("online").textContent = online;
    $("channels").textContent = channels;
    $("rate").textContent = rate;
  },
  error({ text }) {
    $("error").textContent = text;
    $("error").hidden = false;
  },
};

// Channels

function open(channel) {
  const opened = { members: new Map(), messages: [], unread: 0 };
  channels.set(channel, opened);
  remember();
  return opened;
}

function join(channel) {
  if (!channels.has(channel)) {
    open(channel);
    send({ type: "join", channel });
  }
  show(channel);
}

function leave(channel) {
  send({ type: "leave", channel });
  channels.delete(channel);
  remember();
  show(current === channel ? (channels.keys().next().value ?? null) : current);
}

function show(channel) {
  current = channel;
  const opened = channels.get(channel);
  if (opened) opened.unread = 0;
  $("messages").replaceChildren(...(opened?.messages.map(toItem) ?? []));
  scrollDown();
  render();
  if (opened) $("text").focus();
}

function note(channel, text) {
  add(channel, { note: text });
}

function add(channel, message) {
  const opened = channels.get(channel);
  if (!opened) return;
  opened.messages.push(message);
  opened.messages.splice(0, opened.messages.length - KEPT);
  if (channel === current) {
    $("messages").append(toItem(message));
    while ($("messages").children.length > KEPT) $("messages").firstChild.remove();
    scrollDown();
  } else if (!message.note) {
    opened.unread++;
  }
  render();
}

function remember() {
  sessionStorage.setItem("channels", JSON.stringify([...channels.keys()]));
}

// What is seen

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function toItem({ note, who, text, at, mine }) {
  if (note) return element("li", "note", note);
  const item = element("li", mine ? "mine" : "theirs");
  if (!mine) item.append(element("span", "who", who.name));
  item.append(element("span", "text", text));
  const time = new Date(at * 1000);
  const stamp = element("time", "", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  stamp.dateTime = time.toISOString();
  item.append(stamp);
  return item;
}

function toTab([channel, { unread }]) {
  const item = element("li", "");
  item.setAttribute("aria-current", channel === current);
  const open = element("button", "open", `# ${channel}`);
  open.onclick = () => show(channel);
  if (unread) open.append(element("span", "unread", unread));
  const close = element("button", "leave", "×");
  close.title = `Leave ${channel}`;
  close.ariaLabel = close.title;
  close.onclick = () => leave(channel);
  item.append(open, close);
  return item;
}

function render() {
  const opened = channels.get(current);
  const online = id !== null;
  $("title").textContent = opened ? `# ${current}` : "Join a channel to talk";
  $("tabs").replaceChildren(...[...channels].map(toTab));
  const members = [...(opened?.members ?? [])].sort((a, b) => a[1].localeCompare(b[1]));
  $("members").replaceChildren(...members.map(([member, text]) => element("li", "", member === id ? `${text} (you)` : text)));
  $("count").textContent = opened ? members.length : "";
  $("me").textContent = name && `You are ${name}.`;
  $("text").disabled = $("say").querySelector("button").disabled = !(opened && online);
}

function showState(state) {
  $("state").dataset.state = state;
  $("state").textContent = { online: "connected", connecting: "connecting …", offline: "connection lost, trying again …" }[state];
  if (state !== "online") for (const channel of channels.values()) channel.members.clear();
  render();
}

function scrollDown() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

// What the user does

$("say").onsubmit = (event) => {
  event.preventDefault();
  $("error").hidden = true;
  const text = $("text").value.trim();
  if (text && current) send({ type: "say", text, to: current });
  $("text").value = "";
};

$("join").onsubmit = (event) => {
  event.preventDefault();
  const channel = $("channel").value.trim().replace(/^#+\s*/, "");
  if (channel) join(channel);
  $("channel").value = "";
};

$("welcome").onclose = () => {
  name = $("name").value.trim() || "somebody";
  sessionStorage.setItem("name", name);
  start();
};

function start() {
  for (const channel of JSON.parse(sessionStorage.getItem("channels") ?? '["lobby"]')) open(channel);
  show(channels.keys().next().value ?? null);
  connect();
}

if (name) start();
else $("welcome").showModal();
