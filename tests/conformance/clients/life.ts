// A deployment's life, told by openapi-fetch with the types that openapi-typescript makes.
//
//   node life.js BASE MANIFEST    what was seen, as lines of JSON

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const [base, manifest] = process.argv.slice(2) as [string, string];
// Answers as the whole objects are: those with `?fields=` have a media type of their own.
const client = createClient<paths, "application/json">({ baseUrl: base });

const { default: body }: { default: components["schemas"]["Manifest"] } = await import(manifest, {
  with: { type: "json" },
});
const plugin = given(await client.POST("/api/v1/plugins", { body }));
const named = { name: plugin.name };
const ready = await client.GET("/api/v1/plugins/{name}/wait", {
  params: { path: named, query: { state: "ready", timeout: "30s" } },
});
say("installed", plugin.name, given(ready).enabled);

const path = { name: "api" };
const asked = { name: "api", plugin: plugin.name, replicas: 2 };
const made = given(await client.POST("/api/v1/deployments", { body: asked }));
say("created", made.name, made.replicas);
const available = await waited("available", made.generation);
say("available", available.ready_replicas, available.vms);

const scaled = given(
  await client.PATCH("/api/v1/deployments/{name}", { params: { path }, body: { replicas: 3 } }),
);
const there = await waited("available", scaled.generation);
const vms = given(await client.GET("/api/v1/vms", { params: { query: { deployment: "api" } } }));
say("scaled", there.ready_replicas, vms.map((vm) => vm.name).sort());

const { error, response } = await client.POST("/api/v1/deployments", { body: asked });
say("refused", response.status, error?.code);

await client.DELETE("/api/v1/deployments/{name}", { params: { path, query: { wait: "none" } } });
const gone = await client.GET("/api/v1/deployments/{name}/wait", {
  params: { path, query: { state: "deleted", timeout: "30s" } },
});
if (gone.response.status !== 204) throw new Error(`not gone: ${gone.response.status}`);
const left = given(await client.GET("/api/v1/deployments"));
say("deleted", left.length, given(await client.GET("/api/v1/vms")).length);

async function waited(state: "available" | "exists", generation: number) {
  const query = { state, generation, timeout: "30s" };
  return given(await client.GET("/api/v1/deployments/{name}/wait", { params: { path, query } }));
}

function given<T>({ data, error, response }: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  if (data === undefined || data === null) throw new Error(JSON.stringify(error) ?? `${response.status}`);
  return data;
}

function say(...what: unknown[]) {
  console.log(JSON.stringify(what));
}
