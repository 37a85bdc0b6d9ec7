"""paho-mqtt against a broker: with_paho.py HOST PORT VERSION [TRANSPORT [CA]].

VERSION is 3.1, 3.1.1 or 5, TRANSPORT tcp, tls, ws or wss.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TRANSPORT = sys.argv[4] if len(sys.argv) > 4 else "tcp"
# Over WebSocket paho forgets where it was when a large frame is written in part.
LARGE = 60 if TRANSPORT in ("ws", "wss") else 400
PROTOCOL = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}[VERSION]
V5 = VERSION == "5"
WAIT = 20


def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """A client whose callbacks fill queues."""

    def __init__(self, name, clean=True, will=None):
        self.connected, self.messages = queue.Queue(), queue.Queue()
        self.subscribed, self.published = queue.Queue(), queue.Queue()
        options = {} if V5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=PROTOCOL,
            transport="websockets" if TRANSPORT in ("ws", "wss") else "tcp", **options
        )
        if TRANSPORT in ("tls", "wss"):
            self.client.tls_set(sys.argv[5])
        self.client.on_connect = lambda c, u, flags, code, p: self.connected.put((flags, code))
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.subscribed.put(codes)
        self.client.on_publish = lambda c, u, mid, code, p: self.published.put(code)
        if will:
            self.client.will_set(*will)
        extra = {}
        if V5:
            extra["clean_start"] = clean
            if not clean:
                extra["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=600)
        self.client.connect(HOST, PORT, 60, **extra)
        self.client.loop_start()
        self.flags, code = self.connected.get(timeout=WAIT)
        assert not code.is_failure, code

    def subscribe(self, topic, qos, **options):
        if V5 and options:
            self.client.subscribe(topic, options=SubscribeOptions(qos=qos), **options)
        else:
            self.client.subscribe(topic, qos)
        codes = self.subscribed.get(timeout=WAIT)
        assert [code.value for code in codes] == [qos], codes

    def publish(self, topic, payload, qos=0, retain=False, **extra):
        self.client.publish(topic, payload, qos, retain, **extra)
        code = self.published.get(timeout=WAIT)
        assert not code.is_failure, code

    def expect(self, topic, payload, qos):
        message = self.messages.get(timeout=WAIT)
        assert (message.topic, message.payload, message.qos) == (topic, payload, qos), (
            message.topic, message.payload[:40], message.qos, topic, payload[:40], qos)
        return message

    def expect_nothing(self):
        """What was on its way came before this message of our own."""
        self.subscribe("barrier/+", 0)
        self.publish("barrier/x", b"")
        self.expect("barrier/x", b"", 0)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """Ends without DISCONNECT."""
        self.client.loop_stop()
        self.client._sock_close()


def every_qos_and_size():
    alice, bob = Client("paho-alice"), Client("paho-bob")
    for qos in (0, 1, 2):
        alice.subscribe(f"data/{qos}/+", qos)
        for payload in (b"", b"x", bytes(range(256)) * LARGE):
            bob.publish(f"data/{qos}/a", payload, qos)
            alice.expect(f"data/{qos}/a", payload, qos)
    alice.subscribe("both", 2)
    bob.subscribe("both", 2)
    bob.publish("both", b"loud", 2)
    alice.expect("both", b"loud", 2)
    bob.expect("both", b"loud", 2)
    for number in range(300):
        bob.client.publish("both", str(number).encode(), 1)
    for number in range(300):
        alice.expect("both", str(number).encode(), 1)
        bob.expect("both", str(number).encode(), 1)
    alice.leave()
    bob.leave()


def retained_and_wildcards():
    bob = Client("paho-bob")
    bob.publish("kept/a", b"one", 1, True)
    bob.publish("kept/b/c", b"two", 1, True)
    alice = Client("paho-alice")
    alice.subscribe("kept/+", 1)
    assert alice.expect("kept/a", b"one", 1).retain
    alice.subscribe("+/b/#", 1)
    assert alice.expect("kept/b/c", b"two", 1).retain
    bob.publish("kept/a", b"", 1, True)
    bob.publish("kept/b/c", b"", 1, True)
    alice.expect("kept/a", b"", 1)
    alice.expect("kept/b/c", b"", 1)
    carol = Client("paho-carol")
    carol.subscribe("kept/#", 1)
    carol.expect_nothing()
    for client in (alice, bob, carol):
        client.leave()


def session_while_away():
    alice = Client("paho-session", clean=False)
    assert not alice.flags.session_present
    alice.subscribe("queue/#", 2)
    alice.leave()
    bob = Client("paho-bob")
    for qos in (1, 2):
        bob.publish("queue/a", f"away {qos}".encode(), qos)
    alice = Client("paho-session", clean=False)
    assert alice.flags.session_present or VERSION == "3.1"
    alice.expect("queue/a", b"away 1", 1)
    alice.expect("queue/a", b"away 2", 2)
    alice.leave()
    alice = Client("paho-session", clean=True)
    alice.expect_nothing()
    alice.leave()
    bob.leave()


def will():
    watcher = Client("paho-watcher")
    watcher.subscribe("gone/+", 1)
    Client("paho-lost", will=("gone/lost", b"lost", 1, False)).vanish()
    watcher.expect("gone/lost", b"lost", 1)
    Client("paho-left", will=("gone/left", b"left", 1, False)).leave()
    watcher.expect_nothing()
    watcher.leave()


def shared():
    members = [Client(f"paho-member-{number}") for number in range(2)]
    for member in members:
        member.subscribe("$share/group/work/#", 1)
    bob = Client("paho-bob")
    for number in range(20):
        bob.publish("work/item", str(number).encode(), 1)
    seen = []
    for member in members:
        member.subscribe("barrier/+", 0)
        member.publish("barrier/x", b"end")
        while (message := member.messages.get(timeout=WAIT)).topic != "barrier/x":
            seen.append(int(message.payload))
        member.leave()
    assert sorted(seen) == list(range(20)), seen
    bob.leave()


def properties_of_5():
    alice, bob = Client("paho-alice"), Client("paho-bob")
    identifier = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=42)
    alice.subscribe("props", 1, properties=identifier)
    user = [("b", "1"), ("a", "2"), ("b", "0")]
    sent = properties(
        PacketTypes.PUBLISH, PayloadFormatIndicator=1, MessageExpiryInterval=600,
        ContentType="text/plain", ResponseTopic="answer", CorrelationData=b"\x00\xff",
        UserProperty=user,
    )
    bob.publish("props", b"x", 1, properties=sent)
    seen = alice.expect("props", b"x", 1).properties
    assert seen.UserProperty == user, seen.UserProperty
    assert seen.ContentType == "text/plain" and seen.ResponseTopic == "answer"
    assert seen.CorrelationData == b"\x00\xff" and seen.PayloadFormatIndicator == 1
    assert 590 <= seen.MessageExpiryInterval <= 600, seen.MessageExpiryInterval
    assert seen.SubscriptionIdentifier == [42], seen.SubscriptionIdentifier
    alias = properties(PacketTypes.PUBLISH, TopicAlias=1)
    bob.publish("props", b"by alias", properties=alias)
    alice.expect("props", b"by alias", 0)
    alice.leave()
    bob.leave()


every_qos_and_size()
retained_and_wildcards()
session_while_away()
will()
if VERSION != "3.1":
    shared()
if V5:
    properties_of_5()
print(f"OK paho {VERSION} {TRANSPORT}")
