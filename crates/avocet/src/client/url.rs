//! A broker as a URL, `mqtt://user:password@host:port/topic`, as mosquitto's clients have it.

/// The parts of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_tls: bool,
    pub(super) is_websocket: bool,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// What follows the host, with its slash.
    path: Option<String>,
}

impl Url {
    /// Takes a URL apart. User name and password may have characters as `%40`; a topic stands as
    /// it is.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (is_tls, is_websocket) = match scheme {
            "mqtt" => (false, false),
            "mqtts" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => return Err("mqtt://, mqtts://, ws:// or wss:// is needed".to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, place)| {
                let (name, password) =
                    user.split_once(':').map_or((user, None), |(n, p)| (n, Some(p)));
                (Some((name, password)), place)
            });
        let (host, port) = host_and_port(place)?;
        let (username, password) = user.map_or((None, None), |(name, p)| (Some(name), p));
        Ok(Self {
            is_tls,
            is_websocket,
            host: host.to_owned(),
            port,
            username: username.map(decode).transpose()?,
            password: password.map(decode).transpose()?,
            path: (path.len() > 1).then(|| path.to_owned()),
        })
    }

    /// What is subscribed or published to.
    pub(super) fn topic(&self) -> Option<&str> {
        self.path.as_deref().filter(|_| !self.is_websocket).map(|path| &path[1..])
    }

    /// Where the WebSocket is.
    pub(super) fn websocket_path(&self) -> Option<&str> {
        self.path.as_deref().filter(|_| self.is_websocket)
    }
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return Err("a colon and the port may follow the bracket".to_owned()),
        },
        Some(None) => return Err("the bracket of the address is not closed".to_owned()),
        None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let port = port.map(|port| port.parse().map_err(|_| format!("{port:?} is no port")));
    Ok((host, port.transpose()?))
}

/// Puts the characters for what stands as `%40`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err("two hexadecimal digits have to follow a %".to_owned()),
            },
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "user name or password is no UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
