"""The exercise for nats-py and streams: key-value and object buckets, consumers of every kind, batches, direct gets."""

import asyncio
import json

from nats.js.api import AckPolicy, ConsumerConfig, KeyValueConfig, ObjectStoreConfig, StreamConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError

PATIENCE = 10


async def refused(error, work):
    try:
        await work
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


async def key_value(js):
    bucket = await js.create_key_value(KeyValueConfig(bucket="py", history=5))
    watcher = await bucket.watchall()
    assert await watcher.updates(PATIENCE) is None
    first = await bucket.put("a.b", b"one")
    second = await bucket.update("a.b", b"two", last=first)
    assert (first, second) == (1, 2), (first, second)
    await refused(KeyWrongLastSequenceError, bucket.update("a.b", b"three", last=first))
    await refused(KeyWrongLastSequenceError, bucket.create("a.b", b"again"))
    assert (await bucket.get("a.b")).value == b"two"
    assert (await bucket.get("a.b", revision=1)).value == b"one"
    await bucket.put("c", b"see")
    assert sorted(await bucket.keys()) == ["a.b", "c"]
    assert [entry.value for entry in await bucket.history("a.b")] == [b"one", b"two"]
    await bucket.delete("a.b")
    await refused(KeyNotFoundError, bucket.get("a.b"))
    await bucket.create("a.b", b"born again")
    await bucket.purge("a.b")
    assert await bucket.keys() == ["c"]
    seen = [await watcher.updates(PATIENCE) for _ in range(6)]
    assert [(entry.key, entry.operation) for entry in seen] == [
        ("a.b", None), ("a.b", None), ("c", None), ("a.b", "DEL"), ("a.b", None), ("a.b", "PURGE"),
    ], seen
    await watcher.stop()
    await refused(KeyNotFoundError, bucket.get("nobody"))
    assert (await bucket.status()).values == 2
    assert await js.delete_key_value("py")
    print("key-value")


async def key_ttl(js):
    await js.create_key_value(KeyValueConfig(bucket="pyttl", limit_marker_ttl=60))
    bucket = await js.key_value("pyttl")
    watcher = await bucket.watchall()
    assert await watcher.updates(PATIENCE) is None
    await bucket.create("short", b"lived", msg_ttl=1)
    assert (await watcher.updates(PATIENCE)).value == b"lived"
    gone = await watcher.updates(PATIENCE)
    assert gone.key == "short" and not gone.value, gone
    await watcher.stop()
    print("key with a time to live")


async def objects(js):
    bucket = await js.create_object_store("py", config=ObjectStoreConfig(description="of the exercise"))
    data = bytes(number * 7 % 251 for number in range(1_000_000))
    info = await bucket.put("big", data)
    assert info.size == len(data) and info.chunks == 8, info
    assert (await bucket.get("big")).data == data
    await bucket.put("small", b"x")
    assert sorted(each.name for each in await bucket.list()) == ["big", "small"]
    await bucket.delete("big")
    assert [each.name for each in await bucket.list(ignore_deletes=True)] == ["small"]
    assert await js.delete_object_store("py")
    print("object store")


async def consumers(js):
    await js.add_stream(StreamConfig(name="PY", subjects=["pys.>"], allow_direct=True))
    for number in range(200):
        ack = await js.publish(f"pys.{number % 10}", str(number).encode())
        assert ack.stream == "PY" and ack.seq == number + 1, ack
    pull = await js.pull_subscribe("pys.>", "puller")
    got = []
    while len(got) < 200:
        for message in await pull.fetch(50, timeout=PATIENCE):
            got.append(int(message.data))
            await message.ack_sync(timeout=PATIENCE)
    assert got == list(range(200))
    info = await js.consumer_info("PY", "puller")
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 0, 200), info
    ordered = await js.subscribe("pys.>", ordered_consumer=True)
    for number in range(200):
        assert int((await ordered.next_msg(PATIENCE)).data) == number
    await ordered.unsubscribe()
    push = await js.subscribe("pys.3", durable="pusher", config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT), manual_ack=True)
    for number in range(20):
        message = await push.next_msg(PATIENCE)
        assert int(message.data) == number * 10 + 3 and message.metadata.sequence.consumer == number + 1
        await message.ack_sync(timeout=PATIENCE)
    await push.unsubscribe()
    names = sorted(each.name for each in await js.consumers_info("PY"))
    assert "puller" in names, names
    paused = await js.pause_consumer("PY", "puller", pause_until="2090-01-01T00:00:00Z")
    assert paused.paused
    assert not (await js.resume_consumer("PY", "puller")).paused
    print("consumers")


async def twice(js):
    first = await js.publish("pys.x", b"once", headers={"Nats-Msg-Id": "one"})
    again = await js.publish("pys.x", b"once", headers={"Nats-Msg-Id": "one"})
    assert again.duplicate and again.seq == first.seq, again
    print("duplicates")


async def batch(client, js):
    await js.add_stream(StreamConfig(name="PYB", subjects=["pyb.>"], allow_atomic=True))
    for number in (1, 2):
        headers = {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": str(number)}
        if number == 1:
            # The first is answered when the batch may begin.
            assert (await client.request("pyb.x", b"", headers=headers, timeout=PATIENCE)).data == b""
        else:
            await client.publish("pyb.x", b"", headers=headers)
    assert (await js.stream_info("PYB")).state.messages == 0
    headers = {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "3", "Nats-Batch-Commit": "1"}
    answer = json.loads((await client.request("pyb.x", b"", headers=headers, timeout=PATIENCE)).data)
    assert (answer["seq"], answer["batch"], answer["count"]) == (3, "b", 3), answer
    assert (await js.stream_info("PYB")).state.messages == 3
    print("atomic batch")


async def manage(js):
    info = await js.stream_info("PY", subjects_filter="pys.>")
    assert info.state.messages == 201 and info.state.subjects["pys.3"] == 20, info
    assert (await js.get_msg("PY", seq=4)).data == b"3"
    assert (await js.get_msg("PY", seq=4, direct=True)).data == b"3"
    assert (await js.get_last_msg("PY", "pys.3", direct=True)).data == b"193"
    assert (await js.get_msg("PY", seq=5, next=True, subject="pys.3", direct=True)).data == b"13"
    assert await js.delete_msg("PY", 4)
    await refused(NotFoundError, js.get_msg("PY", seq=4))
    assert await js.purge_stream("PY", subject="pys.3")
    assert (await js.stream_info("PY")).state.messages == 181
    await js.update_stream(StreamConfig(name="PY", subjects=["pys.>"], allow_direct=True, max_msgs=100))
    assert (await js.stream_info("PY")).state.messages == 100
    assert await js.find_stream_name_by_subject("pys.a") == "PY"
    assert (await js.account_info()).streams >= 2
    assert await js.delete_stream("PY")
    await refused(NotFoundError, js.stream_info("PY"))
    print("streams")


async def stored(client):
    js = client.jetstream(timeout=PATIENCE)
    await key_value(js)
    await key_ttl(js)
    await objects(js)
    await consumers(js)
    await twice(js)
    await batch(client, js)
    await manage(js)
