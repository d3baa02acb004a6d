// The service's side on Microsoft's Node SDK: each line of standard input is a call, each line of output its answer.
//   {"do": "create" | "get" | "remove", "device": "..."}
//   {"do": "patch", "device": "...", "patch": {...}}
//   {"do": "query", "query": "..."}
//   {"do": "method", "device": "...", "module": "...", "name": "...", "payload": ...}
//   {"do": "command", "device": "...", "id": "...", "body": "...", "properties": {...}, "ack": "full"}
"use strict";
const readline = require("readline");
const { Client, Registry } = require("azure-iothub");
const { Message } = require("azure-iot-common");

const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const text = process.env.SESSION_CONNECTION_STRING;
const registry = Registry.fromConnectionString(text);
const client = Client.fromConnectionString(text);
let opened = false;

const actions = {
  async create({ device }) {
    const made = await registry.create({ deviceId: device });
    const found = made.responseBody;
    say("device", { id: found.deviceId, key: found.authentication.symmetricKey.primaryKey });
  },
  async get({ device }) {
    const found = (await registry.get(device)).responseBody;
    say("device", { id: found.deviceId, status: found.status, state: found.connectionState });
  },
  async remove({ device }) {
    await registry.delete(device);
    say("removed");
  },
  async patch({ device, patch }) {
    const twin = (await registry.getTwin(device)).responseBody;
    const changed = (await registry.updateTwin(device, patch, twin.etag)).responseBody;
    say("twin", { tags: changed.tags, desired: changed.properties.desired });
  },
  async query({ query }) {
    const found = [];
    const cursor = registry.createQuery(query, 2);
    while (cursor.hasMoreResults) found.push(...(await cursor.next()).result);
    say("found", { found });
  },
  async method({ device, module, name, payload }) {
    const asked = { methodName: name, payload, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 5 };
    const answer = module ? await client.invokeDeviceMethod(device, module, asked) : await client.invokeDeviceMethod(device, asked);
    say("answer", { status: answer.result.status, payload: answer.result.payload });
  },
  async command({ device, id, body, properties, ack }) {
    if (!opened) await client.open();
    opened = true;
    const message = new Message(body);
    message.messageId = id;
    if (ack) message.ack = ack;
    for (const [name, value] of Object.entries(properties || {})) message.properties.add(name, value);
    await client.send(device, message);
    say("accepted");
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    await actions[told.do](told).catch((problem) =>
      say("error", { what: told.do, name: problem.name, message: String(problem.message) }),
    );
  }
  if (opened) await client.close();
}

main();
