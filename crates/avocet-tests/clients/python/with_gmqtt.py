"""gmqtt against a broker: with_gmqtt.py HOST PORT VERSION, with VERSION 3.1.1 or 5."""

import asyncio
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
V5 = VERSION == "5"
WAIT = 20


class Client:
    """A client whose callbacks fill queues."""

    def __init__(self, name, clean=True, **options):
        self.messages, self.subscribed = asyncio.Queue(), asyncio.Queue()
        self.connected = asyncio.Event()
        self.client = gmqtt.Client(name, clean_session=clean, **options)
        self.client.set_config({"reconnect_retries": 0})
        self.client.on_connect = lambda client, flags, code, properties: self.on_connect(flags)
        self.client.on_subscribe = lambda client, mid, codes, properties: (
            self.subscribed.put_nowait(codes))
        self.client.on_message = self.on_message

    def on_connect(self, flags):
        self.flags = flags
        self.connected.set()

    def on_message(self, client, topic, payload, qos, properties):
        self.messages.put_nowait((topic, bytes(payload), qos, properties))
        return 0

    async def connect(self):
        await self.client.connect(HOST, PORT, version=MQTTv50 if V5 else MQTTv311)
        await asyncio.wait_for(self.connected.wait(), WAIT)
        return self

    async def subscribe(self, topic, qos, **options):
        self.client.subscribe(topic, qos=qos, **options)
        codes = await asyncio.wait_for(self.subscribed.get(), WAIT)
        assert list(codes) == [qos], codes

    async def expect(self, topic, payload, qos):
        message = await asyncio.wait_for(self.messages.get(), WAIT)
        assert message[:3] == (topic, payload, qos), message[:3]
        return message[3]


async def every_qos_and_size():
    alice, bob = await Client("gm-alice").connect(), await Client("gm-bob").connect()
    for qos in (0, 1, 2):
        await alice.subscribe(f"data/{qos}/+", qos)
        for payload in (b"", b"x", bytes(range(256)) * 400):
            bob.client.publish(f"data/{qos}/a", payload, qos=qos)
            await alice.expect(f"data/{qos}/a", payload, qos)
    await alice.client.disconnect()
    await bob.client.disconnect()


async def retained():
    bob = await Client("gm-bob").connect()
    bob.client.publish("kept/a", b"one", qos=0, retain=True)
    await bob.subscribe("barrier", 0)
    alice = await Client("gm-alice").connect()
    await alice.subscribe("kept/#", 1)
    properties = await alice.expect("kept/a", b"one", 0)
    assert properties["retain"], properties
    bob.client.publish("kept/a", b"", qos=0, retain=True)
    await alice.expect("kept/a", b"", 0)
    await alice.client.disconnect()
    await bob.client.disconnect()


async def session_while_away():
    options = {"session_expiry_interval": 600} if V5 else {}
    alice = await Client("gm-session", clean=False, **options).connect()
    await alice.subscribe("queue/#", 1)
    await alice.client.disconnect()
    bob = await Client("gm-bob").connect()
    bob.client.publish("queue/a", b"away", qos=1)
    await bob.subscribe("barrier", 0)
    alice = await Client("gm-session", clean=False, **options).connect()
    assert alice.flags & 1, "no session is present"
    await alice.expect("queue/a", b"away", 1)
    await alice.client.disconnect()
    await bob.client.disconnect()


async def properties_of_5():
    alice, bob = await Client("gm-alice").connect(), await Client("gm-bob").connect()
    await alice.subscribe("props", 1, subscription_identifier=42)
    user = [("b", "1"), ("a", "2"), ("b", "0")]
    bob.client.publish(
        "props", b"x", qos=1, message_expiry_interval=600, content_type="text/plain",
        response_topic="answer", correlation_data=b"\x00\x01", user_property=user,
    )
    seen = await alice.expect("props", b"x", 1)
    assert list(seen["user_property"]) == user, seen
    assert seen["content_type"] == ["text/plain"] and seen["response_topic"] == ["answer"], seen
    assert seen["subscription_identifier"] == [42], seen
    assert 590 <= seen["message_expiry_interval"][0] <= 600, seen
    await alice.client.disconnect()
    await bob.client.disconnect()


async def main():
    await every_qos_and_size()
    await retained()
    await session_while_away()
    if V5:
        await properties_of_5()
    print(f"OK gmqtt {VERSION}")


asyncio.run(main())
