//! What is written from the types of `crate::tests`.

use crate::tests::{Root, good, text};
use crate::{example, reference, to_toml};

#[test]
fn example_reads_as_the_defaults() {
    assert_eq!(good(&text(&example::<Root>())), Root::default());
}

#[test]
fn example_has_every_key_and_switches_on_by_removing_hashes() {
    let example = example::<Root>();
    let expected = "\
# What MQTT allows on this broker.
[mqtt]
# The largest packet a client may send.
# Accepted: a size such as \"64KiB\" or \"1MB\", or a number of bytes, at least 16 and at most \"256MiB\".
max_packet_size = \"1MiB\"
# How many QoS 1 and 2 messages may be in flight to one client.
# Accepted: an integer from 1 to 65535.
max_inflight = 32
# How long a session may outlive its connection.
# Longer wishes are cut.
# Accepted: a duration such as \"500ms\", \"30s\", \"1h30m\" or \"7d\".
session_expiry_interval_max = \"2h\"
# What happens to a message for a full queue.
# \"drop_oldest\": The oldest message makes room.
# \"refuse\": The message is refused.
# Accepted: \"drop_oldest\" | \"refuse\".
queue_full = \"drop_oldest\"
# How many levels a topic may have.
# Accepted: an integer from 1 to 65535.
#max_topic_levels =
";
    assert!(example.contains(expected), "{example}");
    for header in
        ["\n#[listeners.tls.NAME]\n", "\n[listeners.tcp.default]\n", "\n#[gateway.stomp]\n"]
    {
        assert!(example.contains(header), "{header} in {example}");
    }
    let on: String = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|it| !it.starts_with(' ')).unwrap_or(line))
        .filter(|line| !line.ends_with('='))
        .map(|line| format!("{line}\n"))
        .collect();
    let root = good(&text(&on));
    assert!(root.gateway.stomp.is_some() && root.listeners.tls.contains_key("NAME"), "{on}");
    assert_eq!(root.auth.authenticators.len(), 2, "{on}");
}

#[test]
fn effective_configuration_reads_as_itself() {
    let file = "mqtt.max_topic_levels = 7\nlisteners.tls.x.bind = 'a:1'\n[gateway.stomp]\n[gateway.dashboard]\n\
                [[auth.authenticators]]\ntype = 'http'\nservers = ['a:1', 'b:2']\n\
                [[auth.authenticators]]\ntype = 'file'\n";
    let root = good(&text(file));
    let written = to_toml(&root);
    assert_eq!(good(&text(&written)), root, "{written}");
    assert!(root.gateway.dashboard.is_some());
    assert!(written.contains("[[auth.authenticators]]\ntype = \"http\"\n"), "{written}");
    assert_eq!(good(&text(&to_toml(&Root::default()))), Root::default());
}

#[test]
fn reference_has_a_section_a_table_and_a_row_a_key() {
    let page = reference::<Root>();
    for expected in [
        "## `[listeners.tcp.NAME]`\n\nPlain TCP.\nThere by default: `default`.\n\n\
         | key | accepted | default | meaning |\n|---|---|---|---|\n\
         | `enable` | true or false | `true` | Whether it is opened. |\n",
        "| `queue_full` | \"drop_oldest\" \\| \"refuse\" | `\"drop_oldest\"` | What happens to a \
         message for a full queue. `drop_oldest`: The oldest message makes room. `refuse`: The \
         message is refused. |\n",
        "| `max_topic_levels` | an integer from 1 to 65535 | not set |",
        "## `[[auth.authenticators]]`\n\nAsked one after the other.\n\
         May be given any number of times; the order counts.\n",
        "### `type = \"http\"`\n\nAsks a server.\n",
        "## `[gateway.stomp]`\n\nSTOMP, on when the section is there.\n",
    ] {
        assert!(page.contains(expected), "{expected}\nin\n{page}");
    }
}
