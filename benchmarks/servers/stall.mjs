// stall.py's twin for Node and Bun: see there.
const PERIOD = 5; // ms

export function watch() {
  let late = [];
  let due = performance.now() + PERIOD;
  setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - due));
    due = now + PERIOD;
  }, PERIOD);
  process.on("SIGUSR2", () => {
    const waited = Math.max(0, performance.now() - due);
    late.push(waited);
    late.sort((a, b) => a - b);
    console.log(JSON.stringify({ stall_p99_ms: late[Math.floor(late.length * 0.99)], stall_max_ms: late.at(-1) }));
    late = [waited];
  });
}
