// The service that Restate calls: its handler does nothing but tell when it started. It runs in a process of
// its own, as a service does, and tells its parent the port that it listens on.

import * as restate from "@restatedev/restate-sdk";

const bench = restate.service({
  name: "bench",
  handlers: {
    // All processes of a machine share this clock.
    call: async () => Number(process.hrtime.bigint()),
  },
});

const ANY_FREE_PORT = 0;
process.send(await restate.serve({ services: [bench], port: ANY_FREE_PORT }));
// The parent ends this process by closing the channel.
process.on("disconnect", () => process.exit(0));
