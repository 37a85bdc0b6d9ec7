"""A session of paho-mqtt's: session_of_paho.py HOST PORT VERSION COUNT.

With a COUNT of 0 it is made, has its subscription to a/+ at QoS 2, and is left. With another it is
resumed, so many messages are waited for, and each is printed as TOPIC:PAYLOAD.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST, PORT, VERSION, COUNT = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
V5 = VERSION == "5"
WAIT = 20

connected, subscribed, messages = queue.Queue(), queue.Queue(), queue.Queue()
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, client_id="paho", protocol=mqtt.MQTTv5 if V5 else mqtt.MQTTv311,
    **({} if V5 else {"clean_session": False})
)
client.on_connect = lambda c, u, flags, code, p: connected.put((flags, code))
client.on_subscribe = lambda c, u, mid, codes, p: subscribed.put(codes)
client.on_message = lambda c, u, message: messages.put(message)
extra = {}
if V5:
    expiry = Properties(PacketTypes.CONNECT)
    expiry.SessionExpiryInterval = 600
    extra = {"clean_start": False, "properties": expiry}
client.connect(HOST, PORT, 60, **extra)
client.loop_start()
flags, code = connected.get(timeout=WAIT)
assert not code.is_failure, code
assert flags.session_present == (COUNT > 0), flags
if COUNT == 0:
    client.subscribe("a/+", 2)
    subscribed.get(timeout=WAIT)
for _ in range(COUNT):
    message = messages.get(timeout=WAIT)
    print(f"{message.topic}:{message.payload.decode()}")
client.disconnect()
client.loop_stop()
