// What the JavaScript programs share: the command line, calls in turns, percentiles, and the line of output.
// ../../README.md describes the contract that this keeps.

import { parseArgs } from "node:util";

const EXIT_FAILED = 1;
const EXIT_NO_SUCH_SHAPE = 3;

export function parseArguments(shapes) {
  const { values } = parseArgs({
    options: {
      store: { type: "string" },
      shape: { type: "string" },
      callers: { type: "string" },
      batch: { type: "string" },
      seconds: { type: "string" },
      tasks: { type: "string", default: "0" },
    },
  });
  if (!shapes.includes(values.shape)) {
    console.error(`no shape ${values.shape} here; there are ${shapes.join(", ")}`);
    process.exit(EXIT_NO_SUCH_SHAPE);
  }
  const numbers = ["callers", "batch", "seconds", "tasks"].map((name) => [name, Number(values[name])]);
  return { store: values.store, shape: values.shape, ...Object.fromEntries(numbers) };
}

export function fail(reason) {
  console.error(reason);
  process.exit(EXIT_FAILED);
}

export function expectEqual(what, stored, expected) {
  if (stored !== expected) {
    fail(`${what}: ${stored} stored, ${expected} expected`);
  }
}

/** Percentiles by nearest rank; nothing if nothing was timed. */
function percentilesInMicroseconds(latenciesMs) {
  if (latenciesMs.length === 0) {
    return null;
  }
  const ordered = Float64Array.from(latenciesMs).sort();
  const at = (share) => Math.round(ordered[Math.max(Math.ceil(ordered.length * share), 1) - 1] * 1000);
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

export function printResult(version, { done, seconds, latenciesMs }, checked) {
  const result = {
    version,
    done,
    seconds: Math.round(seconds * 1000) / 1000,
    latency_us: percentilesInMicroseconds(latenciesMs),
    checked,
  };
  console.log(JSON.stringify(result));
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Lets each caller make one call after the other until the time is up. A call returns how many pieces of work
 * it did.
 */
export async function callUntil(callers, seconds, call) {
  const start = performance.now();
  const measurement = { done: 0, seconds: 0, latenciesMs: [] };
  const oneCaller = async () => {
    while (performance.now() - start < seconds * 1000) {
      const callStart = performance.now();
      const done = await call();
      measurement.done += done;
      measurement.latenciesMs.push(performance.now() - callStart);
    }
  };
  await Promise.all(Array.from({ length: callers }, oneCaller));
  measurement.seconds = (performance.now() - start) / 1000;
  return measurement;
}
