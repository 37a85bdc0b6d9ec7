"""aiomqtt against a broker: with_aiomqtt.py HOST PORT VERSION, with VERSION 3.1.1 or 5."""

import asyncio
import sys

import aiomqtt

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
PROTOCOL = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5": aiomqtt.ProtocolVersion.V5}[VERSION]
WAIT = 20


def client(name, **options):
    return aiomqtt.Client(HOST, PORT, identifier=name, protocol=PROTOCOL, **options)


async def expect(messages, topic, payload, qos):
    message = await asyncio.wait_for(anext(messages), WAIT)
    seen = (message.topic.value, message.payload, message.qos)
    assert seen == (topic, payload, qos), seen
    return message


async def every_qos_and_size():
    async with client("aio-alice") as alice, client("aio-bob") as bob:
        messages = aiter(alice.messages)
        for qos in (0, 1, 2):
            await alice.subscribe(f"data/{qos}/#", qos)
            for payload in (b"", b"x", bytes(range(256)) * 400):
                await bob.publish(f"data/{qos}/a", payload, qos)
                await expect(messages, f"data/{qos}/a", payload, qos)


async def retained():
    async with client("aio-bob") as bob:
        await bob.publish("kept/a", b"one", 1, retain=True)
        async with client("aio-alice") as alice:
            messages = aiter(alice.messages)
            await alice.subscribe("kept/+", 1)
            assert (await expect(messages, "kept/a", b"one", 1)).retain
            await bob.publish("kept/a", b"", 1, retain=True)
            await expect(messages, "kept/a", b"", 1)


async def will():
    async with client("aio-watcher") as watcher:
        messages = aiter(watcher.messages)
        await watcher.subscribe("gone/+", 1)
        lost = client("aio-lost", will=aiomqtt.Will("gone/lost", b"lost", 1))
        await lost.__aenter__()
        lost._client._sock_close()
        await expect(messages, "gone/lost", b"lost", 1)


async def shared():
    async with client("aio-one") as one, client("aio-bob") as bob:
        messages = aiter(one.messages)
        await one.subscribe("$share/group/work/#", 1)
        for number in range(20):
            await bob.publish("work/item", str(number), 1)
        for number in range(20):
            await expect(messages, "work/item", str(number).encode(), 1)


async def main():
    await every_qos_and_size()
    await retained()
    await will()
    await shared()
    print(f"OK aiomqtt {VERSION}")


asyncio.run(main())
