// The life of a task through the types that openapi-typescript made of openapi.json.
//
//     npm init -y && npm pkg set type=module
//     npm install openapi-fetch openapi-typescript typescript@5 @types/node
//     npx openapi-typescript openapi.json -o tenure.d.ts
//     npx tsc --strict --target es2022 --module nodenext life.ts
//     node life.js http://127.0.0.1:7117 ID-OF-A-NEW-TASK

import createClient from "openapi-fetch";
import type { components, paths } from "./tenure.js";

type Problem = components["schemas"]["Problem"];

const params = { path: { ns: "default" } };
const owner = "w1";
const [baseUrl, id] = process.argv.slice(2);
if (baseUrl === undefined || id === undefined) {
    throw new Error("usage: node life.js URL ID-OF-A-NEW-TASK");
}

const client = createClient<paths>({ baseUrl });

/** What was answered, or an error with what the problem says. */
function done<T>(answer: { data?: T; error?: Problem }): T {
    if (answer.data === undefined) {
        throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
    }
    return answer.data;
}

/** Names a command, so that a repeat of it is answered and not done again. */
function named(command: string): { "Idempotency-Key": string } {
    return { "Idempotency-Key": `${id}/${command}` };
}

const ofTask = { path: { ns: "default", id } };

// A duration is a number of seconds, or a text such as "90s".
const created = done(await client.POST("/v1/{ns}/tasks", {
    params: { ...params, header: named("create") },
    body: { id, queue: "typed", policy: { lease_ttl: 90 } },
}));
if (created.task.state !== "planned") {
    throw new Error(`created as ${created.task.state}`);
}

const granted = done(await client.POST("/v1/{ns}/claims", {
    params: { ...params, header: named("claim") },
    body: { queue: "typed", owner },
}));
const epoch = granted.tasks[0]?.epoch;
if (epoch === undefined) {
    throw new Error("nothing granted");
}

done(await client.POST("/v1/{ns}/tasks/{id}/heartbeat", {
    params: ofTask,
    body: { owner, epoch, progress: { done: 1 } },
}));

// A caller with another epoch is refused, and the code says why.
const refused = await client.POST("/v1/{ns}/tasks/{id}/heartbeat", {
    params: ofTask,
    body: { owner, epoch: epoch + 1 },
});
if (refused.error?.code !== "stale_epoch") {
    throw new Error("another epoch was taken for the lease's");
}

done(await client.POST("/v1/{ns}/tasks/{id}/complete", {
    params: { ...ofTask, header: named("end") },
    body: { owner, epoch, result: { answer: 42 } },
}));

const { task } = done(await client.GET("/v1/{ns}/tasks/{id}", { params: ofTask }));
console.log(task.id, task.state, JSON.stringify(task.result));
