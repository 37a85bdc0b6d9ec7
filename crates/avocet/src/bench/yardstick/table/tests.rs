use std::time::Duration;

use super::*;
use crate::bench::shape::Shape;

const SCENARIO: Scenario = Scenario { shape: Shape::Pair, count: 50, window: 8 };

fn costs(us: u64) -> Costs {
    Costs {
        delivered: 1_000_000,
        elapsed: Duration::from_secs(1),
        broker: Some(Duration::from_secs(us)),
        own: Duration::ZERO,
        others: Duration::ZERO,
    }
}

#[test]
fn ratio_is_the_median_of_the_runs_not_of_the_medians() {
    let broker = Way::Broker(QoS::AtMostOnce);
    let mut table = Table::new(&[SCENARIO], &[Way::Relay, broker]);
    for (relay, qos0) in [(1, 2), (10, 30), (4, 4)] {
        table.add(SCENARIO, Way::Relay, &costs(relay));
        table.add(SCENARIO, broker, &costs(qos0));
    }
    let json = table.to_json();
    assert_eq!(json["costs"][0]["cells"]["relay"]["cpu_us_per_message"], 4.0);
    assert_eq!(json["costs"][0]["cells"]["qos0"]["cpu_us_per_message"], 4.0);
    assert_eq!(json["costs"][0]["cells"]["qos0"]["ratio"], 2.0);
    assert!(table.to_string().contains("4.000 (2.00x)"));
}

#[test]
fn latencies_are_compared_run_by_run() {
    let broker = Way::Broker(QoS::AtMostOnce);
    let mut table = Table::new(&[SCENARIO], &[Way::Relay, broker]);
    table.add(SCENARIO, Way::Relay, &costs(1));
    assert_eq!(table.last_rate(SCENARIO, Way::Relay), 1e6);
    let spread = |p99| Spread { min: 0, median: 0, p90: 0, p99, p999: 0, p9999: 0, max: 0 };
    for (relay, qos0) in [(1_000, 2_000), (10_000, 30_000), (4_000, 4_000)] {
        table.add_latency(Way::Relay, 500, Some(spread(relay)));
        table.add_latency(broker, 500, Some(spread(qos0)));
    }
    let json = &table.to_json()["half_load_latency"]["p99"];
    assert_eq!(*json, json!({ "relay_us": 4.0, "qos0_us": 4.0, "ratio": 2.0 }));
    assert!(table.to_string().contains("latency at 500 messages/s"));
}

#[test]
fn median_of_an_even_number_is_the_lower() {
    assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median(std::iter::empty()), None);
}
