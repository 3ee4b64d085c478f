// Measures Graphile Worker: jobs are added, a worker runs them, and a job that completed is deleted.
//
// Single calls use the usual settings. Batches use those of the project's own performance test: a local queue
// that fetches many jobs at once, and completions that are written together. As there, a worker runs until
// the queue is empty.

import { readFileSync } from "node:fs";
import { Logger, makeWorkerUtils, run, runOnce } from "graphile-worker";
import pg from "pg";
import { callUntil, expectEqual, fail, parseArguments, printResult, sleep } from "../common/peer_program.mjs";

const TASK = "empty_task";
const WARM_UP_JOBS = 100;
// The first round fills the queue for this share of the time. How long each half takes is not known before.
const FIRST_FILL_SHARE = 0.02;
// Each later round of filling and working takes about this share of the time.
const ROUND_SHARE = 0.5;
// Between two claims, so that the worker is idle again when the next job is added.
const IDLE_BETWEEN_CLAIMS_MS = 10;
const STUCK_AFTER_MS = 60_000;
const BATCH_SETTINGS = {
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

const silentLogger = new Logger(() => () => {});
const handled = { count: 0, lastStart: 0, onStart: () => {} };
const taskList = {
  [TASK]: () => {
    handled.lastStart = performance.now();
    handled.count += 1;
    handled.onStart();
  },
};

const programArguments = parseArguments(["life3", "life3-batch", "claim"]);
const batched = programArguments.shape === "life3-batch";
// One connection more than the callers have, for the worker's notifications.
const pool = new pg.Pool({
  connectionString: programArguments.store,
  max: Math.max(programArguments.callers, 24) + 1,
});
pool.on("error", (error) => fail(String(error)));
// The worker warns about a pool whose clients have no error handler.
pool.on("connect", (client) => client.on("error", (error) => fail(String(error))));
const workerOptions = {
  pgPool: pool,
  taskList,
  logger: silentLogger,
  noHandleSignals: true,
  preset: {
    worker: { concurrentJobs: concurrentJobs(), logger: silentLogger, ...(batched ? BATCH_SETTINGS : {}) },
  },
};
const utils = await makeWorkerUtils({ pgPool: pool, logger: silentLogger });
await main();

/** In batches the callers only add jobs; the worker runs as many at once as in the project's test. */
function concurrentJobs() {
  return batched ? 24 : programArguments.callers;
}

async function main() {
  await utils.migrate();
  await addOneByOne(WARM_UP_JOBS);
  await workOff(WARM_UP_JOBS);
  const measurement = programArguments.shape === "claim" ? await measureClaims() : await alternate();
  const checked = await check(measurement.done);
  await utils.release();
  await pool.end();
  printResult(readVersion(), measurement, checked);
}

async function addOneByOne(jobs) {
  for (let added = 0; added < jobs; added += 1) {
    await utils.addJob(TASK, {});
  }
}

function fill(seconds) {
  const jobs = Array.from({ length: programArguments.batch }, () => ({ identifier: TASK, payload: {} }));
  const add = async () => {
    if (batched) {
      return (await utils.addJobs(jobs)).length;
    }
    await utils.addJob(TASK, {});
    return 1;
  };
  return callUntil(programArguments.callers, seconds, add);
}

/** Returns the seconds that it took. The worker has written all completions when it returns. */
async function workOff(jobs) {
  const handledBefore = handled.count;
  const start = performance.now();
  await runOnce(workerOptions);
  const seconds = (performance.now() - start) / 1000;
  expectEqual("jobs that the task saw", handled.count - handledBefore, jobs);
  return seconds;
}

/** Fills the queue, then works it off, again and again until the time is up. */
async function alternate() {
  const { seconds } = programArguments;
  const measurement = { done: 0, seconds: 0, latenciesMs: [] };
  let fillSeconds = seconds * FIRST_FILL_SHARE;
  while (measurement.seconds < seconds) {
    const filled = await fill(fillSeconds);
    const roundSeconds = filled.seconds + (await workOff(filled.done));
    measurement.seconds += roundSeconds;
    measurement.done += filled.done;
    fillSeconds = (seconds * ROUND_SHARE * filled.seconds) / roundSeconds;
  }
  return measurement;
}

async function measureClaims() {
  const runner = await run(workerOptions);
  // The worker tells nobody when it listens.
  await sleep(500);
  const measurement = { done: 0, seconds: 0, latenciesMs: [] };
  const start = performance.now();
  while (performance.now() - start < programArguments.seconds * 1000) {
    const started = new Promise((resolve) => {
      handled.onStart = resolve;
    });
    const stuck = setTimeout(() => fail("the worker did not start a job"), STUCK_AFTER_MS);
    const addStart = performance.now();
    await utils.addJob(TASK, {});
    await started;
    clearTimeout(stuck);
    measurement.latenciesMs.push(handled.lastStart - addStart);
    measurement.done += 1;
    await sleep(IDLE_BETWEEN_CLAIMS_MS);
  }
  measurement.seconds = (performance.now() - start) / 1000;
  await runner.stop();
  return measurement;
}

async function check(done) {
  const jobs = "graphile_worker._private_jobs";
  expectEqual("jobs that are left", Number(await queryValue(`SELECT count(*) FROM ${jobs}`)), 0);
  const lastId = Number(
    await queryValue(`SELECT pg_sequence_last_value(pg_get_serial_sequence('${jobs}', 'id')::regclass)`),
  );
  if (lastId < done) {
    fail(`only ${lastId} jobs were ever stored, ${done} expected`);
  }
  for (const setting of ["fsync", "synchronous_commit"]) {
    expectEqual(setting, await queryValue(`SHOW ${setting}`), "on");
  }
  return `the task saw ${done} jobs and all are gone from the table; fsync on, synchronous_commit on`;
}

async function queryValue(query) {
  const { rows } = await pool.query({ text: query, rowMode: "array" });
  return rows[0][0];
}

function readVersion() {
  const manifest = new URL("./node_modules/graphile-worker/package.json", import.meta.url);
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}
