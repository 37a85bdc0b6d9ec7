//! The options of scenarios with many clients: which broker, and how it is spoken to.

use std::time::Duration;

use avocet_mqtt::{Connect, ProtocolVersion};
use clap::{Args, builder::RangedU64ValueParser};

use super::{
    args::{seconds, version},
    crowd::Crowd,
    dial::Dialer,
    limits,
    outcome::version_name,
    source::SourceArgs,
};
use crate::client::{Failure, TransportArgs};

#[derive(Args, Debug)]
pub(crate) struct BrokerArgs {
    /// The broker's host.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The broker's port, if it is not 1883; 8883 with TLS, 8083 with WebSocket, 8084 with both.
    #[arg(long)]
    port: Option<u16>,
    /// User name.
    #[arg(long)]
    username: Option<String>,
    /// Password.
    #[arg(long)]
    password: Option<String>,
    /// The broker's process on this machine: its processor time and memory are measured.
    #[arg(long)]
    pub(super) pid: Option<u32>,
    /// The version to speak: 3.1, 3.1.1 or 5.0.
    #[arg(long, default_value = "3.1.1", value_parser = version)]
    pub(super) mqtt: ProtocolVersion,
    /// Keep alive in seconds; a client that says nothing for so long sends PINGREQ before. 0: none.
    #[arg(long, default_value_t = 60)]
    keep_alive: u16,
    /// Seconds the broker may take to answer.
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(super) patience: Duration,
    /// Print one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

/// A number from 1 to `max`.
pub(super) fn up_to(max: u64) -> RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=max)
}

impl BrokerArgs {
    /// What connects clients; the first of them is number `first` of all processes' clients.
    pub(super) fn dialer(&self, first: u64) -> Result<Dialer, Failure> {
        let target = self.transport.target(&self.host, self.port)?;
        let mut connect = Connect::new(self.mqtt, "");
        connect.clean_start = true;
        connect.keep_alive = self.keep_alive;
        connect.username = self.username.clone();
        connect.password = self.password.as_ref().map(|password| password.clone().into_bytes());
        Ok(Dialer::new(target, self.source.sources()?, connect, first)?)
    }

    /// So many clients, none of them connected, and all of them of this process.
    pub(super) fn crowd(&self, clients: u64) -> Result<Crowd, Failure> {
        limits::open_files(clients)?;
        let dialer = self.dialer(0)?;
        dialer.check_ports(clients)?;
        Ok(Crowd::new(dialer, self.patience).map_err(anyhow::Error::from)?)
    }

    /// The version's name.
    pub(super) fn version(&self) -> &'static str {
        version_name(self.mqtt)
    }
}
