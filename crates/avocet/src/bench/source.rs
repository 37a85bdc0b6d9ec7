//! The addresses that connections are made from. One address has no more ports than the system
//! gives out, about 28,000; several have so many each.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
};

use clap::Args;

/// The most addresses that can be given.
const ADDRESSES_MAX: usize = 1024;

/// What Linux gives out if nothing else is set.
const PORTS: Range<u16> = 32_768..61_000;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SourceArgs {
    /// Local addresses to connect from, in turn: 127.0.0.2,127.0.0.3 or 127.0.0.2-127.0.0.9.
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',', value_parser = addresses)]
    source: Vec<Addresses>,
}

/// One address, or all from one to another.
type Addresses = std::sync::Arc<[IpAddr]>;

/// Addresses that are used in turn; without any the system chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources(Vec<IpAddr>);

impl SourceArgs {
    pub(super) fn sources(&self) -> Result<Sources, String> {
        let all: Vec<IpAddr> = self.source.iter().flat_map(|some| some.iter().copied()).collect();
        if all.len() > ADDRESSES_MAX {
            return Err(format!("--source takes at most {ADDRESSES_MAX} addresses"));
        }
        Ok(Sources(all))
    }
}

impl Sources {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of connection `index`.
    pub(super) fn of(&self, index: u64) -> Option<IpAddr> {
        let place = index.checked_rem(self.0.len() as u64)?;
        self.0.get(place as usize).copied()
    }

    /// Address and port of connection `index`, if the system is not to choose. It searches long
    /// for a free port once half of them are taken; whoever goes through them in turn need not.
    pub(super) fn place_of(&self, index: u64, ports: &Range<u16>) -> Option<SocketAddr> {
        let address = self.of(index)?;
        let round = index / self.0.len() as u64;
        let port = u64::from(ports.start) + round.checked_rem(ports.len() as u64)?;
        Some(SocketAddr::new(address, u16::try_from(port).ok()?))
    }

    /// How many connections to one broker's port are possible.
    fn ports(&self) -> u64 {
        ports().len() as u64 * self.0.len().max(1) as u64
    }

    /// Says so if there are not enough ports for `count` connections at the same time.
    pub(super) fn check(&self, count: u64) -> Result<(), String> {
        let ports = self.ports();
        if count <= ports {
            return Ok(());
        }
        Err(format!(
            "{count} connections at the same time need as many local ports, and there are {ports}: \
             give more addresses to connect from, like --source 127.0.0.2-127.0.0.9"
        ))
    }
}

/// The ports that the system gives out.
pub(super) fn ports() -> Range<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    range.ok().and_then(|text| port_range(&text)).unwrap_or(PORTS)
}

/// Ports in `32768 60999`, of which the last counts, too.
fn port_range(text: &str) -> Option<Range<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (first, last): (u16, u16) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(first..last.checked_add(1)?)
}

fn addresses(text: &str) -> Result<Addresses, String> {
    let complaint = || format!("{text} is no address and no range like 127.0.0.2-127.0.0.9");
    let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| complaint());
    let Some((first, last)) = text.split_once('-') else {
        return Ok([parse(text)?].into());
    };
    let (first, last, number): (_, _, fn(u128) -> IpAddr) = match (parse(first)?, parse(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (u32::from(first).into(), u32::from(last).into(), |n| Ipv4Addr::from(n as u32).into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            (u128::from(first), u128::from(last), |n| Ipv6Addr::from(n).into())
        }
        _ => return Err(complaint()),
    };
    if last < first {
        return Err(format!("{text} ends before it begins"));
    }
    if last - first >= ADDRESSES_MAX as u128 {
        return Err(format!("{text} has more than {ADDRESSES_MAX} addresses"));
    }
    Ok((first..=last).map(number).collect())
}

#[cfg(test)]
mod tests;
