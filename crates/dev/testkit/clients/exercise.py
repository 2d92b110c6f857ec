"""The exercise for nats-py: one login, described by a JSON argument, and everything that a client does with it."""

import asyncio
import json
import ssl
import sys

import nats
from nats.errors import NoRespondersError

from stored import stored

PATIENCE = 10


def options(login):
    chosen = {"servers": [login["url"]], "connect_timeout": PATIENCE, "reconnect_time_wait": 0.05}
    chosen["max_reconnect_attempts"] = 200 if login.get("reconnect") else 0
    chosen["allow_reconnect"] = bool(login.get("reconnect"))
    for name, option in [("user", "user"), ("pass", "password"), ("token", "token"), ("seed", "nkeys_seed_str")]:
        if name in login:
            chosen[option] = login[name]
    if "ca" in login:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=login["ca"])
        if "cert" in login:
            context.load_cert_chain(login["cert"], login["key"])
        chosen["tls"] = context
        chosen["tls_hostname"] = "localhost"
        chosen["tls_handshake_first"] = bool(login.get("tls_first"))
    return chosen


async def publish_and_subscribe(client):
    subscription = await client.subscribe("py.order.*")
    for number in range(100):
        await client.publish(f"py.order.{number}", str(number).encode())
    for number in range(100):
        message = await subscription.next_msg(PATIENCE)
        assert message.subject == f"py.order.{number}" and message.data == str(number).encode(), message
    await subscription.unsubscribe()


async def queue_group(client, other):
    received = asyncio.Queue()

    async def keep(message):
        await received.put(int(message.data))

    for each in (client, client, other):
        await each.subscribe("py.queue", queue="q", cb=keep)
    for number in range(30):
        await client.publish("py.queue", str(number).encode())
    numbers = [await asyncio.wait_for(received.get(), PATIENCE) for _ in range(30)]
    assert sorted(numbers) == list(range(30)), numbers


async def request_and_reply(client, other):
    async def answer(message):
        await message.respond(b"answer to " + message.data)

    await other.subscribe("py.service", cb=answer)
    # This library's flush may overtake a subscription that is still buffered, so the first request is asked until it is heard.
    while True:
        try:
            await client.request("py.service", b"", timeout=PATIENCE)
            break
        except NoRespondersError:
            pass
    for number in range(10):
        reply = await client.request("py.service", str(number).encode(), timeout=PATIENCE)
        assert reply.data == f"answer to {number}".encode(), reply
    try:
        await client.request("py.nobody", b"", timeout=PATIENCE)
        raise AssertionError("somebody answered")
    except NoRespondersError:
        pass


async def headers(client):
    subscription = await client.subscribe("py.headers")
    await client.publish("py.headers", b"body", headers={"A": "b", "C": "d e"})
    message = await subscription.next_msg(PATIENCE)
    assert message.headers == {"A": "b", "C": "d e"} and message.data == b"body", message


async def reconnect(client, reconnected):
    received = asyncio.Queue()

    async def keep(message):
        await received.put(message.data)

    await client.subscribe("py.again", cb=keep)
    await client.flush()
    print("waiting", flush=True)
    await asyncio.wait_for(reconnected.wait(), PATIENCE)
    await client.publish("py.again", b"back")
    assert await asyncio.wait_for(received.get(), PATIENCE) == b"back"


async def drain(login):
    client = await nats.connect(**options(login))
    received = []

    async def keep(message):
        received.append(message.data)

    await client.subscribe("py.drain", cb=keep)
    for number in range(50):
        await client.publish("py.drain", str(number).encode())
    await client.flush()
    await client.drain()
    assert len(received) == 50, len(received)
    assert client.is_closed


async def main():
    login = json.loads(sys.argv[1])
    if login.get("refused"):
        try:
            await nats.connect(**options(login))
        except Exception:
            print("ok")
            return
        raise AssertionError("the login was accepted")
    reconnected = asyncio.Event()

    async def note():
        reconnected.set()

    client = await nats.connect(**options(login), reconnected_cb=note)
    if login.get("stored"):
        await stored(client)
        await client.close()
        print("ok")
        return
    other = await nats.connect(**options(login))
    await publish_and_subscribe(client)
    await queue_group(client, other)
    await request_and_reply(client, other)
    await headers(client)
    if login.get("reconnect"):
        await reconnect(client, reconnected)
    await drain(login)
    await other.close()
    await client.close()
    print("ok")


asyncio.run(main())
