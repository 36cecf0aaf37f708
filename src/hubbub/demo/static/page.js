// What stands around the messages: rooms, people, counts, state. It is drawn from what `chat` knows.

import { avatar, byName, element, isShared, listed, nameplate } from "./people.js";
import { ago } from "./words.js";

export const $ = (id) => document.getElementById(id);

export function drawTabs(chat) {
  keep($("tabs"), [...chat.rooms.keys()], (name) => makeTab(chat, name), (item, name) => {
    const room = chat.rooms.get(name);
    const [open, leave] = item.children;
    const unread = room === chat.current ? 0 : room.unread;
    const current = String(room === chat.current);
    const becomesIt = current === "true" && open.ariaCurrent !== current;
    set(open, "ariaCurrent", current);
    if (becomesIt) item.scrollIntoView({ block: "nearest", inline: "nearest" });
    set(open.lastChild, "textContent", unread > 99 ? "99+" : unread || "");
    set(open.lastChild, "hidden", !unread);
    set(leave, "hidden", room !== chat.current);
  });
  const others = new Map(chat.news.largest.map(([channel, count]) => [channel.slice(5), count]));
  chat.rooms.forEach((_, name) => others.delete(name));
  keep($("others"), [...others.keys()].slice(0, 8), (name) => makeOther(chat, name), (item, name) =>
    set(item.firstChild.lastChild, "textContent", others.get(name)));
  set($("others").previousElementSibling, "hidden", !others.size);
}

export function drawRoom({ current, state, news }, log) {
  set($("title"), "textContent", current ? current.name : "No room");
  const saysNothing = current ? "Nothing was said here yet. Say something." : "Enter a room to talk.";
  set($("empty"), "textContent", state === "online" ? saysNothing : "");
  set($("empty"), "hidden", Boolean(current?.items.length));
  set($("newest"), "hidden", log.following || !current);
  set($("newest"), "textContent", current?.unread ? `${current.unread} new` : "To the newest");
  set($("send"), "ariaDisabled", String(!(current && state === "online")));
  const now = Date.now();
  const typing = [...(current?.typing ?? [])].filter(([, until]) => until > now).map(([user]) => user);
  const who = typing.length > 3 ? "Several people" : listed(typing);
  set($("typing"), "textContent", typing.length ? `${who} ${typing.length > 1 ? "are" : "is"} typing …` : "");
  set($("online"), "textContent", news.online);
  set($("rooms"), "textContent", news.rooms);
}

export function drawPeople({ current, me }) {
  const here = [...(current?.here ?? [])].sort(byName);
  const gone = [...(current?.gone.keys() ?? [])].filter((user) => !current.here.has(user)).reverse();
  const draw = (item, user) => {
    const looks = `${isShared(user)} ${user === me}`;
    if (item.looks !== looks) item.replaceChildren(avatar(user), nameplate(user, me));
    item.looks = looks;
    item.title = current.here.has(user) ? "" : `last seen ${ago(current.gone.get(user))}`;
  };
  keep($("here"), here, () => element("li"), draw);
  keep($("gone"), gone, () => element("li"), draw);
  set($("was").parentElement, "hidden", !gone.length);
  set($("count"), "textContent", here.length);
  set($("few"), "textContent", here.length);
}

export function drawMe({ me }) {
  $("me").replaceChildren(avatar(me), element("span", "", "You are "), nameplate(me));
}

export function complain(text) {
  $("error").textContent = text;
  $("complaint").hidden = !text;
}

function makeTab(chat, name) {
  const item = element("li");
  const open = element("button", "open");
  open.append(element("bdi", "", name), element("span", "unread"));
  open.onclick = () => chat.show(name);
  const leave = element("button", "leave", "×");
  leave.title = leave.ariaLabel = `Leave ${name}`;
  leave.onclick = () => chat.leave(name);
  item.append(open, leave);
  return item;
}

function makeOther(chat, name) {
  const item = element("li");
  const open = element("button", "open");
  open.title = `Enter ${name}`;
  open.append(element("bdi", "", name), element("span", "size"));
  open.onclick = () => chat.enter(name);
  item.append(open);
  return item;
}

// Only what is different is written: an assignment is work for the browser, and may take a selection away.
export function set(what, property, value) {
  if (String(what[property]) !== String(value)) what[property] = value;
}

// Make the list show these keys in this order. What is there already stays the same element, with the focus in it.
function keep(list, keys, make, update) {
  const there = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const wanted = new Set(keys);
  there.forEach((item, key) => wanted.has(key) || item.remove());
  keys.forEach((key, at) => {
    const item = there.get(key) ?? make(key);
    item.dataset.key = key;
    update(item, key);
    if (list.children[at] === item) return;
    const focused = item.contains(document.activeElement) && document.activeElement;
    list.insertBefore(item, list.children[at] ?? null);
    if (focused) focused.focus({ preventScroll: true }); // which it loses on the way
  });
}
