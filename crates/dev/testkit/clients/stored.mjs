// The exercise for @nats-io/jetstream, kv and obj: buckets, consumers of every kind, batches, direct gets.

import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(process.env.CLIENT_MODULES + "/");
const { jetstream, jetstreamManager } = require("@nats-io/jetstream");
const { Kvm } = require("@nats-io/kv");
const { Objm } = require("@nats-io/obj");

async function collect(iterator, count = Infinity) {
  const taken = [];
  if (count === 0) return taken;
  for await (const each of iterator) {
    taken.push(each);
    if (taken.length === count) break;
  }
  return taken;
}

async function keyValue(client) {
  const bucket = await new Kvm(client).create("js", { history: 5 });
  const watch = await bucket.watch({ ignoreDeletes: false });
  const first = await bucket.put("a.b", "one");
  const second = await bucket.update("a.b", "two", first);
  assert.deepEqual([first, second], [1, 2]);
  await assert.rejects(bucket.update("a.b", "three", first));
  await assert.rejects(bucket.create("a.b", "again"));
  assert.equal((await bucket.get("a.b")).string(), "two");
  assert.equal((await bucket.get("a.b", { revision: 1 })).string(), "one");
  await bucket.put("c", "see");
  assert.deepEqual((await collect(await bucket.keys())).sort(), ["a.b", "c"]);
  const history = await collect(await bucket.history({ key: "a.b" }));
  assert.deepEqual(history.map((entry) => entry.string()), ["one", "two"]);
  await bucket.delete("a.b");
  assert.equal((await bucket.get("a.b")).operation, "DEL");
  await bucket.create("a.b", "born again");
  await bucket.purge("a.b");
  assert.deepEqual(await collect(await bucket.keys()), ["c"]);
  const seen = await collect(watch, 6);
  assert.deepEqual(
    seen.map((entry) => [entry.key, entry.operation]),
    [["a.b", "PUT"], ["a.b", "PUT"], ["c", "PUT"], ["a.b", "DEL"], ["a.b", "PUT"], ["a.b", "PURGE"]],
  );
  assert.equal(await bucket.get("nobody"), null);
  assert.equal((await bucket.status()).values, 2);
  assert(await bucket.destroy());
  console.log("key-value");
}

async function keyTtl(client) {
  const bucket = await new Kvm(client).create("jsttl", { markerTTL: 60_000 });
  const watch = await bucket.watch();
  await bucket.create("short", "lived", "1s");
  const [lived, gone] = await collect(watch, 2);
  assert.equal(lived.string(), "lived");
  assert.equal(gone.key, "short");
  assert.notEqual(gone.operation, "PUT");
  console.log("key with a time to live");
}

async function objects(client) {
  const bucket = await new Objm(client).create("js");
  const data = Uint8Array.from({ length: 1_000_000 }, (_, number) => (number * 7) % 251);
  const info = await bucket.putBlob({ name: "big" }, data);
  assert.deepEqual([info.size, info.chunks], [data.length, 8]);
  assert(Buffer.from(await bucket.getBlob("big")).equals(Buffer.from(data)));
  await bucket.putBlob({ name: "small" }, new Uint8Array([1]));
  assert.deepEqual((await bucket.list()).map((each) => each.name).sort(), ["big", "small"]);
  await bucket.delete("big");
  assert.equal(await bucket.getBlob("big"), null);
  assert(await bucket.destroy());
  console.log("object store");
}

async function consumers(js, manager) {
  await manager.streams.add({ name: "JS", subjects: ["jss.>"], allow_direct: true });
  for (let number = 0; number < 200; number++) {
    const ack = await js.publish(`jss.${number % 10}`, String(number));
    assert.deepEqual([ack.stream, ack.seq], ["JS", number + 1]);
  }
  await manager.consumers.add("JS", { durable_name: "puller", ack_policy: "explicit" });
  const puller = await js.consumers.get("JS", "puller");
  const fetched = await collect(await puller.fetch({ max_messages: 100, expires: 5000 }));
  assert.equal(fetched.length, 100);
  for (const message of fetched) assert(await message.ackAck());
  const rest = await puller.consume();
  let number = 100;
  for await (const message of rest) {
    assert.equal(message.string(), String(number));
    assert(await message.ackAck());
    if (++number === 200) break;
  }
  await rest.close();
  const info = await puller.info();
  assert.deepEqual([info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq], [0, 0, 200]);
  const ordered = await (await js.consumers.get("JS", { filter_subjects: "jss.3" })).consume();
  const inOrder = await collect(ordered, 20);
  inOrder.forEach((message, index) => assert.equal(message.string(), String(index * 10 + 3)));
  await manager.consumers.add("JS", { durable_name: "pusher", ack_policy: "explicit", deliver_subject: "js.deliver" });
  const push = await (await js.consumers.getPushConsumer("JS", "pusher")).consume();
  let pushed = 0;
  for await (const message of push) {
    assert.equal(message.string(), String(pushed));
    assert(await message.ackAck());
    if (++pushed === 200) break;
  }
  await push.close();
  const names = (await collect(manager.consumers.list("JS"))).map((each) => each.name);
  assert(names.includes("puller") && names.includes("pusher"), names);
  assert((await manager.consumers.pause("JS", "puller", new Date("2090-01-01T00:00:00Z"))).paused);
  assert(!(await manager.consumers.resume("JS", "puller")).paused);
  console.log("consumers");
}

async function batches(js, manager) {
  const first = await js.publish("jss.x", "once", { msgID: "one" });
  const again = await js.publish("jss.x", "once", { msgID: "one" });
  assert(again.duplicate && again.seq === first.seq);
  await manager.streams.add({ name: "JSB", subjects: ["jsb.>"], allow_atomic: true });
  const batch = await js.startBatch("jsb.a", "1");
  await batch.add("jsb.b", "2", { ack: true });
  assert.equal((await manager.streams.info("JSB")).state.messages, 0);
  const ack = await batch.commit("jsb.c", "3");
  assert.deepEqual([ack.seq, ack.count], [3, 3]);
  assert.equal((await manager.streams.info("JSB")).state.messages, 3);
  console.log("duplicates and an atomic batch");
}

async function manage(manager) {
  const info = await manager.streams.info("JS", { subjects_filter: "jss.>" });
  assert.deepEqual([info.state.messages, info.state.subjects["jss.3"]], [201, 20]);
  assert.equal((await manager.streams.getMessage("JS", { seq: 4 })).string(), "3");
  assert.equal((await manager.direct.getMessage("JS", { seq: 4 })).string(), "3");
  assert.equal((await manager.direct.getMessage("JS", { last_by_subj: "jss.3" })).string(), "193");
  const several = await collect(await manager.direct.getBatch("JS", { seq: 1, batch: 5 }));
  assert.deepEqual(several.map((message) => message.string()), ["0", "1", "2", "3", "4"]);
  const last = await collect(await manager.direct.getLastMessagesFor("JS", { multi_last: ["jss.1", "jss.2"] }));
  assert.deepEqual(last.map((message) => message.string()).sort(), ["191", "192"]);
  assert(await manager.streams.deleteMessage("JS", 4));
  assert.equal(await manager.streams.getMessage("JS", { seq: 4 }), null);
  assert.equal((await manager.streams.purge("JS", { filter: "jss.3" })).purged, 19);
  await manager.streams.update("JS", { max_msgs: 100 });
  assert.equal((await manager.streams.info("JS")).state.messages, 100);
  assert.equal(await manager.streams.find("jss.a"), "JS");
  assert((await manager.getAccountInfo()).streams >= 2);
  assert(await manager.streams.delete("JS"));
  await assert.rejects(manager.streams.info("JS"));
  console.log("streams");
}

export async function stored(client) {
  const manager = await jetstreamManager(client);
  const js = jetstream(client);
  await keyValue(client);
  await keyTtl(client);
  await objects(client);
  await consumers(js, manager);
  await batches(js, manager);
  await manage(manager);
}
