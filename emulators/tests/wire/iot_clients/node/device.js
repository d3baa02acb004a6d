// A device (or, with a module in its connection string, a module) on Microsoft's Node SDK. It says what happens to it,
// a JSON object per line, and does what it is told on standard input, a JSON object per line:
//   {"do": "send", "body": ..., "properties": {...}, "output": "..."}   telemetry
//   {"do": "twin"}                                                      read the twin, and hear of changes
//   {"do": "report", "patch": {...}}                                    patch reported properties
//   {"do": "commands", "answer": "complete" | "reject" | "abandon"}     hear of messages from the cloud
//   {"do": "inputs", "name": "..."}                                     hear of messages from other modules
//   {"do": "methods", "name": "...", "status": n, "payload": ...}       answer a direct method
//   {"do": "close"}
"use strict";
const readline = require("readline");
const { Client, Message, ModuleClient } = require("azure-iot-device");
const { Mqtt, MqttWs } = require("azure-iot-device-mqtt");

const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const failed = (what) => (problem) => {
  say("error", { what, name: problem.name, message: String(problem.message) });
};
const transport = process.env.SESSION_TRANSPORT === "websocket" ? MqttWs : Mqtt;
let client;
let twin;

const actions = {
  async send({ body, properties, output }) {
    const message = new Message(JSON.stringify(body));
    message.messageId = "from-node/1";
    message.contentType = "application/json";
    message.contentEncoding = "utf-8";
    for (const [name, value] of Object.entries(properties || {})) message.properties.add(name, value);
    if (output) await client.sendOutputEvent(output, message);
    else await client.sendEvent(message);
    say("sent");
  },
  async twin() {
    twin = await client.getTwin();
    twin.on("properties.desired", (patch) => say("desired", { patch }));
    say("twin", { desired: twin.properties.desired, reported: twin.properties.reported });
  },
  async report({ patch }) {
    await new Promise((done, fail) => twin.properties.reported.update(patch, (problem) => (problem ? fail(problem) : done())));
    say("reported");
  },
  async commands({ answer }) {
    client.on("message", (message) => {
      const properties = Object.fromEntries(message.properties.propertyList.map(({ key, value }) => [key, value]));
      client[answer](message, (problem) =>
        problem ? failed(answer)(problem) : say("command", { id: message.messageId, body: message.data.toString(), properties }),
      );
    });
    say("listening");
  },
  async inputs({ name }) {
    client.on("inputMessage", (input, message) => {
      if (input !== name) return;
      client.complete(message, (problem) =>
        problem ? failed("input")(problem) : say("input", { input, body: message.data.toString() }),
      );
    });
    say("listening");
  },
  async methods({ name, status, payload }) {
    const act = (request, response) => {
      say("method", { name: request.methodName, payload: request.payload });
      response.send(status, payload, (problem) => problem && failed("method")(problem));
    };
    if (client.onMethod) client.onMethod(name, act);
    else client.onDeviceMethod(name, act);
    say("listening");
  },
  async close() {
    await client.close();
    say("closed");
    process.exit(0);
  },
};

async function main() {
  if (process.env.SESSION_CONNECTION_STRING) {
    const text = process.env.SESSION_CONNECTION_STRING;
    client = (text.includes("ModuleId=") ? ModuleClient : Client).fromConnectionString(text, transport);
  } else {
    client = await ModuleClient.fromEnvironment(transport);
  }
  client.on("error", failed("client"));
  await client.open();
  say("open");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    await actions[told.do](told).catch(failed(told.do));
  }
  await actions.close();
}

main().catch((problem) => {
  failed("open")(problem);
  process.exit(1);
});
