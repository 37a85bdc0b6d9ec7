//! The real executable from outside: raw packets first, then clients that are not ours.
//!
//! - [`connect`], [`publish`], [`qos`], [`subscribe`], [`session`], [`will`], [`retained`],
//!   [`property`], [`flow`], [`shared`], [`keep_alive`], [`malformed`]: packets by hand, each test
//!   with the marks of the statements it would catch broken;
//! - [`guide`]: the commands that the documents for users show;
//! - [`client`]: mosquitto_pub and mosquitto_sub, paho-mqtt, aiomqtt, gmqtt, MQTT.js, rumqttc.
//!
//! `AVOCET_TEST_BROKER=mosquitto` tries the tests themselves; `docs/internals/testing.md` says
//! where that broker and the standard part.

mod client;
mod connect;
mod flow;
mod guide;
mod keep_alive;
mod malformed;
mod property;
mod publish;
mod qos;
mod retained;
mod session;
mod shared;
mod subscribe;
mod will;
