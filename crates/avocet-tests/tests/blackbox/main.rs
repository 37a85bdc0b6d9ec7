//! The real executable from outside: raw packets first, then clients that are not ours.
//!
//! - [`connect`], [`publish`], [`qos`], [`subscribe`], [`session`], [`will`], [`retained`],
//!   [`property`], [`flow`], [`shared`], [`keep_alive`], [`malformed`]: packets by hand, each test
//!   with the marks of the statements it would catch broken;
//! - [`prefix`], [`mountpoint`], [`sys`], [`limit`], [`slow`], [`feed`], [`setting`]: what Avocet
//!   adds, its bounds, and what its settings change for a client;
//! - [`store`]: what outlives the broker, killed or stopped;
//! - [`listener`]: TLS, WebSocket, QUIC, Unix sockets, PROXY headers, and who is let in;
//! - [`config`]: the executable as its operator sees it; [`http`]: what it tells over HTTP;
//! - [`backup`]: `avocet backup`, `restore` and `store`;
//! - [`command`]: `avocet sub` as a script sees it; [`bench`]: `avocet bench`;
//! - [`guide`]: the commands that the documents for users show;
//! - [`client`]: mosquitto_pub and mosquitto_sub, paho-mqtt, aiomqtt, gmqtt, MQTT.js, rumqttc.
//!
//! `AVOCET_TEST_BROKER=mosquitto` tries the tests themselves; `docs/internals/testing.md` says
//! where that broker and the standard part.

mod backup;
mod bench;
mod client;
mod command;
mod config;
mod connect;
mod feed;
mod flow;
mod guide;
mod http;
mod keep_alive;
mod limit;
mod listener;
mod malformed;
mod mountpoint;
mod prefix;
mod property;
mod publish;
mod qos;
mod retained;
mod session;
mod setting;
mod shared;
mod slow;
mod store;
mod subscribe;
mod sys;
mod will;
