//! Filters of a client whose listener has a mountpoint. Topics and deliveries are its session's.

use avocet_mqtt::{ReasonCode, Unsubscribe};
use avocet_router::Filter;
use avocet_session::Mountpoint;

use crate::subscribe::Client;

/// Puts the mountpoint behind the filter's prefixes. `text` becomes what the session and the router
/// know the subscription by.
pub(crate) fn mount(
    mountpoint: &Mountpoint,
    filter: &Filter,
    text: &mut String,
) -> Result<Filter, ReasonCode> {
    let mounted = mountpoint
        .mount_filter(filter.topic_filter())
        .ok()
        .and_then(|topic_filter| filter.with_topic_filter(&topic_filter).ok())
        .ok_or(ReasonCode::TopicFilterInvalid)?;
    *text = mounted.to_string();
    Ok(mounted)
}

/// The same for all filters of an UNSUBSCRIBE. What is no filter, or none any more, is left empty:
/// nobody subscribes to that.
pub(crate) fn mount_all(client: Client<'_>, request: &mut Unsubscribe) {
    let Some(mountpoint) = client.mountpoint() else { return };
    for text in &mut request.filters {
        let parsed = Filter::parse(text).map_err(|_| ReasonCode::TopicFilterInvalid);
        if parsed.and_then(|filter| mount(&mountpoint, &filter, text)).is_err() {
            text.clear();
        }
    }
}
