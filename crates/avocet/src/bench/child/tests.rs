use super::*;

#[test]
fn port_is_found_in_the_ready_line() {
    assert_eq!(ready_port("ready tcp.default=127.0.0.1:1883\n"), Some(1883));
    assert_eq!(ready_port("ready http=[::1]:80 tcp.default=[::1]:99 x=1\n"), Some(99));
    for line in ["", "ready\n", "ready http=127.0.0.1:80\n", "tcp.default=127.0.0.1:1883\n"] {
        assert_eq!(ready_port(line), None, "{line:?}");
    }
}
