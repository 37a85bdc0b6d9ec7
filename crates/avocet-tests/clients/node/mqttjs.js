// MQTT.js against a broker: mqttjs.js HOST PORT VERSION [TRANSPORT [CA]], with VERSION 3.1, 3.1.1
// or 5 and TRANSPORT mqtt, mqtts, ws or wss.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const mqtt = require("mqtt");

const [host, port, version, transport = "mqtt", authority] = process.argv.slice(2);
const bearer = { protocol: transport, path: "/mqtt" };
if (authority) bearer.ca = fs.readFileSync(authority);
const v5 = version === "5";
const protocol = {
  "3.1": { protocolId: "MQIsdp", protocolVersion: 3 },
  "3.1.1": { protocolId: "MQTT", protocolVersion: 4 },
  5: { protocolId: "MQTT", protocolVersion: 5 },
}[version];

async function client(clientId, options = {}) {
  const settings = { host, port: Number(port), clientId, reconnectPeriod: 0 };
  const connected = mqtt.connect({ ...settings, ...bearer, ...protocol, ...options });
  const waiting = [];
  const unread = [];
  connected.on("message", (topic, payload, packet) => {
    const message = { topic, payload, packet };
    if (waiting.length > 0) waiting.shift()(message);
    else unread.push(message);
  });
  connected.next = () =>
    unread.length > 0
      ? Promise.resolve(unread.shift())
      : new Promise((resolve) => waiting.push(resolve));
  connected.expect = async (topic, payload, qos) => {
    const message = await connected.next();
    assert.equal(message.topic, topic);
    assert.ok(message.payload.equals(Buffer.from(payload)), `${topic}: another payload`);
    assert.equal(message.packet.qos, qos);
    return message.packet;
  };
  // Listening began before: messages of a session may come right behind CONNACK.
  await new Promise((resolve, reject) => {
    connected.once("connect", resolve);
    connected.once("error", reject);
  });
  return connected;
}

async function everyQosAndSize() {
  const alice = await client("js-alice");
  const bob = await client("js-bob");
  for (const qos of [0, 1, 2]) {
    const granted = await alice.subscribeAsync(`data/${qos}/+`, { qos });
    assert.equal(granted[0].qos, qos);
    for (const payload of ["", "x", Buffer.alloc(100 * 1024, 7)]) {
      await bob.publishAsync(`data/${qos}/a`, payload, { qos });
      await alice.expect(`data/${qos}/a`, payload, qos);
    }
  }
  const numbers = [...Array(300).keys()];
  numbers.forEach((number) => bob.publish("data/1/many", String(number), { qos: 1 }));
  for (const number of numbers) await alice.expect("data/1/many", String(number), 1);
  await alice.endAsync();
  await bob.endAsync();
}

async function retained() {
  const bob = await client("js-bob");
  await bob.publishAsync("kept/a", "one", { qos: 1, retain: true });
  const alice = await client("js-alice");
  await alice.subscribeAsync("kept/#", { qos: 1 });
  assert.equal((await alice.expect("kept/a", "one", 1)).retain, true);
  await bob.publishAsync("kept/a", "", { qos: 1, retain: true });
  await alice.expect("kept/a", "", 1);
  await alice.endAsync();
  await bob.endAsync();
}

async function sessionWhileAway() {
  const keep = v5
    ? { clean: false, properties: { sessionExpiryInterval: 600 } }
    : { clean: false };
  let alice = await client("js-session", keep);
  await alice.subscribeAsync("queue/#", { qos: 2 });
  await alice.endAsync();
  const bob = await client("js-bob");
  await bob.publishAsync("queue/a", "away 1", { qos: 1 });
  await bob.publishAsync("queue/a", "away 2", { qos: 2 });
  alice = await client("js-session", keep);
  await alice.expect("queue/a", "away 1", 1);
  await alice.expect("queue/a", "away 2", 2);
  await alice.endAsync();
  await bob.endAsync();
}

async function will() {
  const watcher = await client("js-watcher");
  await watcher.subscribeAsync("gone/+", { qos: 1 });
  const lost = await client("js-lost", {
    will: { topic: "gone/lost", payload: Buffer.from("lost"), qos: 1, retain: false },
  });
  lost.on("error", () => {});
  lost.stream.destroy();
  await watcher.expect("gone/lost", "lost", 1);
  await watcher.endAsync();
}

async function shared() {
  const members = [await client("js-one"), await client("js-two")];
  for (const member of members) await member.subscribeAsync("$share/group/work/#", { qos: 1 });
  const bob = await client("js-bob");
  const seen = [];
  const all = new Promise((resolve) => {
    for (const member of members) {
      member.on("message", (topic, payload) => {
        seen.push(Number(payload.toString()));
        if (seen.length === 20) resolve();
      });
    }
  });
  for (let number = 0; number < 20; number += 1) {
    await bob.publishAsync("work/item", String(number), { qos: 1 });
  }
  await all;
  assert.deepEqual(seen.sort((a, b) => a - b), [...Array(20).keys()]);
  for (const one of [...members, bob]) await one.endAsync();
}

async function propertiesOf5() {
  const alice = await client("js-alice", { properties: { topicAliasMaximum: 5 } });
  const bob = await client("js-bob", { autoAssignTopicAlias: true });
  await alice.subscribeAsync("props", { qos: 1, properties: { subscriptionIdentifier: 42 } });
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 600,
    contentType: "text/plain",
    responseTopic: "answer",
    correlationData: Buffer.from([0, 255]),
    userProperties: { b: ["1", "0"], a: "2" },
  };
  for (let round = 0; round < 3; round += 1) {
    await bob.publishAsync("props", "x", { qos: 1, properties });
    const seen = (await alice.expect("props", "x", 1)).properties;
    assert.equal(seen.contentType, "text/plain");
    assert.equal(seen.responseTopic, "answer");
    assert.ok(seen.correlationData.equals(properties.correlationData));
    assert.equal(seen.subscriptionIdentifier, 42);
    assert.deepEqual({ ...seen.userProperties }, properties.userProperties);
    assert.ok(seen.messageExpiryInterval <= 600 && seen.messageExpiryInterval >= 590);
  }
  await alice.endAsync();
  await bob.endAsync();
}

async function main() {
  await everyQosAndSize();
  await retained();
  await sessionWhileAway();
  await will();
  if (version !== "3.1") await shared();
  if (v5) await propertiesOf5();
  console.log(`OK MQTT.js ${version} ${transport}`);
}

const limit = setTimeout(() => {
  console.error("MQTT.js waits for something that does not come");
  process.exit(1);
}, 60000);
main().then(
  () => clearTimeout(limit),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
