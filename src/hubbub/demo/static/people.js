// Who is who. Users are told apart by the server's id of them. They are shown by name and colour, and where two share a
// name, with a tag.

const known = new Map(); // user -> name
const namesakes = new Map(); // name, as it looks -> the users that have it
let shared = 0; // grows whenever somebody turns out to share a name

const looks = (name) => name.normalize("NFKC").toLocaleLowerCase();

export function meet(user, name) {
  if (!name || known.get(user) === name) return;
  namesakes.get(looks(known.get(user) ?? ""))?.delete(user);
  known.set(user, name);
  const users = namesakes.get(looks(name)) ?? new Set();
  namesakes.set(looks(name), users.add(user));
  if (users.size > 1) shared++;
}

export const nameOf = (user) => known.get(user) ?? "somebody";
export const isShared = (user) => (namesakes.get(looks(nameOf(user)))?.size ?? 0) > 1;
export const tagOf = (user) => (isShared(user) ? user.slice(0, 4) : "");
export const sharedNames = () => shared;

// A name within a sentence: isolated, so that names of either direction leave the sentence's order alone.
export const inSentence = (user) => `\u2068${nameOf(user)}\u2069${tagOf(user) && ` (${tagOf(user)})`}`;

const list = new Intl.ListFormat("en");

export function listed(users, most = 3) {
  const shown = users.slice(0, users.length > most + 1 ? most : users.length).map(inSentence);
  if (shown.length < users.length) shown.push(`${users.length - shown.length} others`);
  return list.format(shown);
}

const collator = new Intl.Collator(undefined, { sensitivity: "base", numeric: true });
export const byName = (a, b) => collator.compare(nameOf(a), nameOf(b)) || (a < b ? -1 : 1);

const segmenter = new Intl.Segmenter();
const initial = (name) => segmenter.segment(name)[Symbol.iterator]().next().value?.segment ?? "?";
const hue = (user) => (parseInt(user.slice(0, 6), 16) || 0) % 360;

export function avatar(user) {
  const made = element("span", "avatar", initial(nameOf(user)));
  made.style.setProperty("--hue", hue(user));
  made.ariaHidden = "true";
  return made;
}

export function nameplate(user, me) {
  const made = element("span", "name");
  made.style.setProperty("--hue", hue(user));
  const name = element("bdi", "", nameOf(user));
  name.dir = "auto";
  made.append(name);
  if (tagOf(user)) made.append(" ", element("small", "tag", tagOf(user)));
  if (user === me) made.append(" ", element("small", "you", "you"));
  return made;
}

export function element(tag, className = "", text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // never as markup, whoever wrote it
  return made;
}
