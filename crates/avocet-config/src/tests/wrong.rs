//! Texts of a file, and the exact mistakes in them.

use super::*;

#[test]
fn temp() {
    for t in [
        "mqtt.max_inflite = 5\n",
        "[mqtt]\nmax_inflight = 0\nmax_packet_size = \"10\"\nzzz = 1\nqueue_full = \"refused\"\nmax_topic_levels = 0\nsession_expiry_interval_max = 5",
        "mqtt = 5\n[listeners.tcp]\ndefault = true\n[listeners.tls.x]\ncertificate = \"x\"\n",
        "[listeners.tls.x]\nbind=':1'\ncertificate = \"x\"\n[listeners.tls.y]\nbind='a:1'\ncertificate = \"x\"\n",
        "[[auth.authenticators]]\ntype = 'x'\nservers = ['a:1', 'b', 3]\n[[auth.authenticators]]\npassword = 5\n",
        "[gateway.coap]\nbind = 'x:1'\n",
        "[mqtt]\nmax_inflight = 5\nmax_inflight = 6\n[mqtt]\n[rpc]\na.b = 1\na.c = 2\na = 5\n",
        "[mqtt]\nmax_inflite = 5\nmax_inflight = \n[rpc]\ntcp_server_port = 70000\nx = \"abc\ny = [1,\nz = 5\n[gateway\n",
        "x = \"\"\"\nfoo\n[mqtt]\n",
        "= 5",
        "[]",
        "[a.]",
        "[[a]]\n[a]\n[a.b]\nb=1\n[[a]]",
        "\u{feff}mqtt.max_inflight=0",
        "a = {b = 1, b = 2,\nc = 3}\n",
        "rpc.tcp_server_port = 1\n[rpc]\ntcp_client_port=2",
    ] {
        println!("--- {t}");
        println!("{}", mistakes(&text(t)));
    }
}
