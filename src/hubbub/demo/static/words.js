// What the page tells its user, in words.

export const states = {
  connecting: "connecting …",
  online: "connected",
  offline: "connection lost, trying again …",
  over: "not connected",
};

const REASONS = {
  100: "The server cannot do that just now. Try again in a moment.",
  102: "There is no such room.",
  103: "You may not do that.",
  106: "You are in as many rooms as one can be in. Leave one first.",
  107: "The server did not understand that.",
  111: "That was too fast. Wait a moment.",
};

// Why the server refuses something: what the chat itself says is meant for people, the protocol's own texts are not.
export function refusal({ code, message }) {
  return code >= 400 && code < 2000 ? message : (REASONS[code] ?? "The server does not allow that.");
}

const units = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(at) {
  const minutes = Math.round((at - Date.now()) / 60_000);
  return minutes > -60 ? units.format(minutes, "minute") : units.format(Math.round(minutes / 60), "hour");
}
