//! The options that scenarios have in common: which broker, and how it is spoken to.

use std::time::Duration;

use avocet_mqtt::{Connect, ProtocolVersion};
use clap::{Args, builder::RangedU64ValueParser};

use super::{
    args::{seconds, version},
    crowd::Crowd,
    dial::Dialer,
    limits,
    outcome::version_name,
    processes::{ProcessArgs, Role},
    source::SourceArgs,
};
use crate::client::{Failure, TransportArgs, stream::Target};

/// What all scenarios against a broker have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct BrokerArgs {
    /// The broker's host.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The broker's port, if it is not 1883; 8883 with TLS, 8083 with WebSocket, 8084 with both.
    #[arg(long)]
    port: Option<u16>,
    /// User name.
    #[arg(long)]
    pub(super) username: Option<String>,
    /// Password.
    #[arg(long)]
    pub(super) password: Option<String>,
    /// The broker's process on this machine: what it takes is measured, too.
    #[arg(long)]
    pub(super) pid: Option<u32>,
    /// The version to speak: 3.1, 3.1.1 or 5.0.
    #[arg(long, default_value = "3.1.1", value_parser = version)]
    pub(super) mqtt: ProtocolVersion,
    /// Print one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    processes: ProcessArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    transport: TransportArgs,
}

impl BrokerArgs {
    pub(super) fn role(&self) -> Role {
        self.processes.role()
    }

    /// Where the broker is, and what is spoken there.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        self.transport.target(&self.host, self.port)
    }

    /// Says so if all processes together cannot have so many connections at the same time: for
    /// want of ports, or of open files, here or at the broker.
    pub(super) fn check(&self, count: u64) -> Result<(), Failure> {
        let role = self.role();
        if role.part().is_none() {
            if !self.transport.is_unix() {
                self.source.sources()?.check(count)?;
            }
            if let Some(pid) = self.pid {
                limits::open_files_of(pid, count)?;
            }
        }
        Ok(limits::open_files(count.div_ceil(role.processes().into()))?)
    }

    /// The version's name.
    pub(super) fn version(&self) -> &'static str {
        version_name(self.mqtt)
    }
}

/// The options of scenarios with many clients on one thread.
#[derive(Args, Clone, Debug)]
pub(crate) struct CrowdArgs {
    /// Keep alive in seconds; a client that says nothing for so long sends PINGREQ before. 0: none.
    #[arg(long, default_value_t = 60)]
    keep_alive: u16,
    /// Seconds the broker may take to answer.
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(super) patience: Duration,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

/// A number from 1 to `max`.
pub(super) fn up_to(max: u64) -> RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=max)
}

impl CrowdArgs {
    /// What connects clients; the first of them is number `first` of all processes' clients.
    pub(super) fn dialer(&self, first: u64) -> Result<Dialer, Failure> {
        let broker = &self.broker;
        let mut connect = Connect::new(broker.mqtt, "");
        connect.clean_start = true;
        connect.keep_alive = self.keep_alive;
        connect.username = broker.username.clone();
        connect.password = broker.password.as_ref().map(|password| password.clone().into_bytes());
        Ok(Dialer::new(broker.target()?, broker.source.sources()?, connect, first)?)
    }

    /// The clients of this process, none of them connected; see [`Self::dialer`].
    pub(super) fn crowd(&self, first: u64) -> Result<Crowd, Failure> {
        Ok(Crowd::new(self.dialer(first)?, self.patience).map_err(anyhow::Error::from)?)
    }
}
