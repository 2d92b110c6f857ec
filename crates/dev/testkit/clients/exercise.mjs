// The exercise for @nats-io/transport-node: one login, described by a JSON argument, and everything that a client does with it.

import { createRequire } from "node:module";
import assert from "node:assert/strict";

// The package stands in the folder of the tool, not beside this file.
const require = createRequire(process.env.CLIENT_MODULES + "/");
const { connect, headers, nkeyAuthenticator, errors } = require("@nats-io/transport-node");

const PATIENCE = 10_000;
const encoder = new TextEncoder();

function options(login) {
  const chosen = {
    servers: login.url,
    timeout: PATIENCE,
    reconnect: Boolean(login.reconnect),
    maxReconnectAttempts: 200,
    reconnectTimeWait: 50,
  };
  for (const name of ["user", "pass", "token"]) {
    if (login[name] !== undefined) chosen[name] = login[name];
  }
  if (login.seed) chosen.authenticator = nkeyAuthenticator(encoder.encode(login.seed));
  if (login.ca) {
    chosen.tls = { caFile: login.ca, handshakeFirst: Boolean(login.tls_first) };
    if (login.cert) Object.assign(chosen.tls, { certFile: login.cert, keyFile: login.key });
  }
  return chosen;
}

/** Takes a number of messages from a subscription. */
async function take(subscription, count) {
  const taken = [];
  if (count === 0) return taken;
  for await (const message of subscription) {
    taken.push(message);
    if (taken.length === count) break;
  }
  return taken;
}

async function publishAndSubscribe(client) {
  const subscription = client.subscribe("js.order.*", { max: 100 });
  for (let number = 0; number < 100; number++) client.publish(`js.order.${number}`, String(number));
  const messages = await take(subscription, 100);
  messages.forEach((message, number) => {
    assert.equal(message.subject, `js.order.${number}`);
    assert.equal(message.string(), String(number));
  });
}

async function queueGroup(client, other) {
  const received = [];
  for (const each of [client, client, other]) {
    each.subscribe("js.queue", { queue: "q", callback: (error, message) => received.push(Number(message.string())) });
  }
  await client.flush();
  await other.flush();
  for (let number = 0; number < 30; number++) client.publish("js.queue", String(number));
  await client.flush();
  await other.flush();
  received.sort((a, b) => a - b);
  assert.deepEqual(received, Array.from({ length: 30 }, (_, number) => number));
}

async function requestAndReply(client, other) {
  other.subscribe("js.service", { callback: (error, message) => message.respond("answer to " + message.string()) });
  await other.flush();
  for (let number = 0; number < 10; number++) {
    const reply = await client.request("js.service", String(number), { timeout: PATIENCE });
    assert.equal(reply.string(), `answer to ${number}`);
  }
  await assert.rejects(client.request("js.nobody", "", { timeout: PATIENCE }), (error) =>
    error instanceof errors.NoRespondersError || error.cause instanceof errors.NoRespondersError);
}

async function withHeaders(client) {
  const subscription = client.subscribe("js.headers", { max: 1 });
  const fields = headers();
  fields.set("A", "b");
  fields.set("C", "d e");
  client.publish("js.headers", "body", { headers: fields });
  const [message] = await take(subscription, 1);
  assert.equal(message.headers.get("A"), "b");
  assert.equal(message.headers.get("C"), "d e");
  assert.equal(message.string(), "body");
}

async function reconnect(client) {
  const subscription = client.subscribe("js.again", { max: 1 });
  await client.flush();
  const reconnected = (async () => {
    for await (const status of client.status()) {
      if (status.type === "reconnect") return;
    }
  })();
  console.log("waiting");
  await reconnected;
  client.publish("js.again", "back");
  const [message] = await take(subscription, 1);
  assert.equal(message.string(), "back");
}

async function drain(login) {
  const client = await connect(options(login));
  let received = 0;
  client.subscribe("js.drain", { callback: () => received++ });
  for (let number = 0; number < 50; number++) client.publish("js.drain", String(number));
  await client.drain();
  assert.equal(received, 50);
  assert.ok(client.isClosed());
}

const login = JSON.parse(process.argv[2]);
if (login.refused) {
  await assert.rejects(connect(options(login)));
} else if (login.stored) {
  const { stored } = await import("./stored.mjs");
  const client = await connect(options(login));
  await stored(client);
  await client.close();
} else {
  const client = await connect(options(login));
  const other = await connect(options(login));
  await publishAndSubscribe(client);
  await queueGroup(client, other);
  await requestAndReply(client, other);
  await withHeaders(client);
  if (login.reconnect) await reconnect(client);
  await drain(login);
  await other.close();
  await client.close();
}
console.log("ok");
