// Measures Restate: a life is one durable call of a handler that does nothing, from the request until its
// response. Restate writes the call to its log before it runs the handler, and the result before it responds.

import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { callUntil, expectEqual, fail, parseArguments, printResult, sleep } from "../common/peer_program.mjs";

const WARM_UP_CALLS = 200;
// Between two claims, so that the service is idle again when the next call is made.
const IDLE_BETWEEN_CLAIMS_MS = 10;
const DEPLOY_ATTEMPTS = 50;
const DEPLOY_RETRY_MS = 200;

const programArguments = parseArguments(["life3", "claim"]);
const [ingress, admin, metrics] = programArguments.store.split(",");
const agent = new http.Agent({ keepAlive: true, maxSockets: programArguments.callers });

const service = fork(new URL("./service.mjs", import.meta.url), {
  env: { ...process.env, RESTATE_LOGGING: "ERROR" },
});
const [servicePort] = await once(service, "message");
await deploy(`http://127.0.0.1:${servicePort}`);

const callsBefore = WARM_UP_CALLS + programArguments.tasks;
await callTimes(callsBefore);
const syncsBefore = await logSyncs();
const measurement = programArguments.shape === "claim" ? await measureClaims() : await measureCalls();
const checked = await check(measurement.done, callsBefore, (await logSyncs()) - syncsBefore);
printResult(readVersion(), measurement, checked);
service.disconnect();
agent.destroy();

async function deploy(uri) {
  // A server that has just started is not ready for deployments, though its health check is.
  for (let attempt = 1; ; attempt += 1) {
    const { status, body } = await request("POST", `${admin}/deployments`, { uri });
    if (status < 300) {
      return;
    }
    if (attempt === DEPLOY_ATTEMPTS) {
      fail(`can't deploy the service: ${body}`);
    }
    await sleep(DEPLOY_RETRY_MS);
  }
}

/** Returns the time at which the handler started, on the clock of `process.hrtime`. */
async function call() {
  const { status, body } = await request("POST", `${ingress}/bench/call`);
  if (status !== 200) {
    fail(`a call failed with ${status}: ${body}`);
  }
  return JSON.parse(body);
}

async function callTimes(times) {
  let left = times;
  const oneCaller = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  await Promise.all(Array.from({ length: programArguments.callers }, oneCaller));
}

function measureCalls() {
  return callUntil(programArguments.callers, programArguments.seconds, async () => {
    await call();
    return 1;
  });
}

async function measureClaims() {
  const measurement = { done: 0, seconds: 0, latenciesMs: [] };
  const start = performance.now();
  while (performance.now() - start < programArguments.seconds * 1000) {
    const callStart = Number(process.hrtime.bigint());
    measurement.latenciesMs.push(((await call()) - callStart) / 1e6);
    measurement.done += 1;
    await sleep(IDLE_BETWEEN_CLAIMS_MS);
  }
  measurement.seconds = (performance.now() - start) / 1000;
  return measurement;
}

async function check(done, doneBefore, syncs) {
  const query = "SELECT count(*) AS calls FROM sys_invocation WHERE status = 'completed'";
  const { body } = await request("POST", `${admin}/query`, { query });
  const [{ calls }] = JSON.parse(body).rows;
  expectEqual("completed calls", calls - doneBefore, done);
  if (syncs === 0) {
    fail("Restate did not sync its log while it was measured: calls are not durable");
  }
  return `${done} durable calls are stored as completed; Restate synced its log ${syncs} times`;
}

/** How often the log has been synced. */
async function logSyncs() {
  const { body } = await request("GET", `${metrics}/metrics`);
  const line = body
    .split("\n")
    .find((text) => /^restate_rocksdb_wal_synced_total\{.*db="log-server"/.test(text));
  return line === undefined ? 0 : Number(line.split(" ").at(-1));
}

async function request(method, url, body) {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    accept: "application/json",
    ...(content === undefined ? {} : { "content-type": "application/json" }),
  };
  const outgoing = http.request(url, { method, headers, agent });
  outgoing.end(content);
  const [response] = await once(outgoing, "response");
  let received = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    received += chunk;
  }
  return { status: response.statusCode, body: received };
}

function readVersion() {
  const manifest = new URL(
    "./node_modules/@restatedev/restate-server-linux-x64/package.json",
    import.meta.url,
  );
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}
