//! What publisher and subscriber have in common on the command line: mosquitto's letters.

use avocet_mqtt::{Connect, ProtocolVersion, QoS, Will, topic};
use clap::{ArgAction, Args};

use super::{
    Failure,
    property::{Carrier, Properties},
    stream::Target,
    transport::TransportArgs,
    url::Url,
};

#[derive(Args, Debug)]
pub(crate) struct ClientArgs {
    /// The broker's host.
    #[arg(short = 'h', long, default_value = "localhost")]
    host: String,
    /// The broker's port, if it is not 1883; 8883 with TLS, 8083 with WebSocket, 8084 with both.
    #[arg(short, long)]
    port: Option<u16>,
    /// Host and more as mqtt://USER:PASSWORD@HOST:PORT/TOPIC; mqtts:// is with TLS. With ws://
    /// and wss:// the path is that of the WebSocket, and the topic needs -t.
    #[arg(short = 'L', long, value_parser = Url::parse,
          conflicts_with_all = ["host", "port", "unix"])]
    url: Option<Url>,
    /// Client identifier; without one the broker makes one up.
    #[arg(short, long)]
    id: Option<String>,
    /// User name.
    #[arg(short, long)]
    username: Option<String>,
    /// Password.
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD")]
    password: Option<String>,
    /// Seconds between signs of life; 0 turns them off.
    #[arg(short, long, default_value_t = 60)]
    keepalive: u16,
    /// Keep the session when the connection ends; needs --id.
    #[arg(short = 'c', long, requires = "id")]
    disable_clean_session: bool,
    /// Seconds the session outlives the connection; needs -V mqttv5.
    #[arg(short = 'x', long, value_name = "SECONDS")]
    session_expiry_interval: Option<u32>,
    /// Version to speak: mqttv31, mqttv311 or mqttv5.
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "mqttv311",
          value_parser = version)]
    protocol_version: ProtocolVersion,
    /// Say on standard error what is sent and received.
    #[arg(short, long)]
    pub(super) debug: bool,
    /// Print no errors.
    #[arg(long, conflicts_with = "debug")]
    pub(super) quiet: bool,
    /// A property, with -V mqttv5: the packet, the property's name, its value (for user-property
    /// its name and value). May be repeated.
    #[arg(short = 'D', long = "property", value_name = "PACKET NAME VALUE", num_args = 3..=4)]
    property: Vec<String>,
    /// Topic of a message that the broker publishes if we vanish.
    #[arg(long)]
    will_topic: Option<String>,
    /// Payload of that message.
    #[arg(long, requires = "will_topic", allow_hyphen_values = true)]
    will_payload: Option<String>,
    /// QoS of that message.
    #[arg(long, requires = "will_topic", default_value = "0", value_parser = qos)]
    will_qos: QoS,
    /// Retain that message.
    #[arg(long, requires = "will_topic")]
    will_retain: bool,
    /// Print help; -h is the host.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    transport: TransportArgs,
}

impl ClientArgs {
    pub(super) fn version(&self) -> ProtocolVersion {
        self.protocol_version
    }

    /// Where the broker is.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        let Some(url) = &self.url else { return self.transport.target(&self.host, self.port) };
        let mut transport = self.transport.clone();
        transport.tls |= url.is_tls;
        transport.ws |= url.is_websocket;
        if let Some(path) = url.websocket_path() {
            if transport.ws_path.is_some() {
                return Err(Failure::Usage(
                    "--url has a path already, beside --ws-path".to_owned(),
                ));
            }
            transport.ws_path = Some(path.to_owned());
        }
        transport.target(&url.host, url.port)
    }

    /// The topic in `--url`.
    pub(super) fn url_topic(&self) -> Option<&str> {
        self.url.as_ref().and_then(Url::topic)
    }

    /// All `-D`.
    pub(super) fn properties(&self) -> Result<Properties, String> {
        if !self.property.is_empty() && self.protocol_version < ProtocolVersion::V5 {
            return Err("properties (-D) need -V mqttv5".to_owned());
        }
        Properties::parse(&self.property)
    }

    /// The CONNECT, or what is wrong with the arguments.
    pub(super) fn connect(&self, properties: &Properties) -> Result<Connect, String> {
        let is_5 = self.protocol_version >= ProtocolVersion::V5;
        let mut connect = Connect::new(self.protocol_version, &self.client_id());
        connect.keep_alive = self.keepalive;
        connect.clean_start = !self.disable_clean_session;
        let url = self.url.as_ref();
        let username = self.username.as_ref().or(url.and_then(|url| url.username.as_ref()));
        let password = self.password.as_ref().or(url.and_then(|url| url.password.as_ref()));
        connect.username = username.cloned();
        connect.password = password.map(|password| password.clone().into_bytes());
        if connect.password.is_some() && connect.username.is_none() && !is_5 {
            return Err("a password (-P) without a user name (-u) needs -V mqttv5".to_owned());
        }
        if self.session_expiry_interval.is_some() && !is_5 {
            return Err("--session-expiry-interval needs -V mqttv5".to_owned());
        }
        // Older versions keep such a session for ever; so does this unless told otherwise.
        let kept = (is_5 && self.disable_clean_session).then_some(u32::MAX);
        connect.session_expiry_interval = self.session_expiry_interval.or(kept);
        connect.will = self.will(properties)?;
        properties.apply_to_connect(&mut connect)?;
        Ok(connect)
    }

    /// 3.1 does not let the broker choose.
    fn client_id(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None if self.protocol_version == ProtocolVersion::V3_1 => {
                format!("avocet-{}", std::process::id())
            }
            None => String::new(),
        }
    }

    fn will(&self, properties: &Properties) -> Result<Option<Will>, String> {
        let Some(topic) = &self.will_topic else {
            return if properties.has(Carrier::Will) {
                Err("properties of a will (-D WILL) need --will-topic".to_owned())
            } else {
                Ok(None)
            };
        };
        topic::check_name(topic).map_err(|error| format!("--will-topic: {error}"))?;
        let mut will = Will {
            topic: topic.clone(),
            payload: self.will_payload.clone().unwrap_or_default().into_bytes(),
            qos: self.will_qos,
            retain: self.will_retain,
            delay_interval: 0,
            message_expiry_interval: None,
            properties: avocet_mqtt::OwnedProperties::default(),
        };
        properties.apply_to_will(&mut will)?;
        Ok(Some(will))
    }
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "mqttv31" | "31" | "3.1" => Ok(ProtocolVersion::V3_1),
        "mqttv311" | "311" | "3.1.1" => Ok(ProtocolVersion::V3_1_1),
        "mqttv5" | "5" | "5.0" => Ok(ProtocolVersion::V5),
        _ => Err("mqttv31, mqttv311 or mqttv5 is needed".to_owned()),
    }
}

/// A QoS as people write it.
pub(crate) fn qos(text: &str) -> Result<QoS, String> {
    let qos = text.parse().ok().and_then(QoS::from_bits);
    qos.ok_or_else(|| "0, 1 or 2 is needed".to_owned())
}

#[cfg(test)]
mod tests;
