use super::*;

fn found(delivered: u64, seconds: f64, broker: f64, lost: u64) -> Found {
    let time = Duration::from_secs_f64;
    let mut latencies = Latencies::new();
    latencies.add(delivered);
    Found {
        costs: Costs {
            delivered,
            elapsed: time(seconds),
            broker: Some(time(broker)),
            own: time(seconds / 4.0),
            others: time(seconds / 2.0),
        },
        latencies,
        punctuality: None,
        faults: Faults { lost, ..Faults::default() },
    }
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < expected * 1e-6, "{found}, not {expected}");
}

#[test]
fn rates_are_added_and_the_broker_counts_once() {
    let merged = Found::merged(&[found(1000, 1.0, 0.5, 2), found(4000, 2.0, 1.0, 3)]);
    let costs = merged.costs;
    assert_eq!((costs.delivered, merged.faults.lost), (5000, 5));
    near(costs.rate(), 3000.0);
    // Half a processor at 3000 messages a second, and half a processor for both of us.
    near(costs.broker_us().unwrap(), 0.5e6 / 3000.0);
    near(costs.own_us(), 0.5e6 / 3000.0);
    // The machine is busy with 1.25; the broker and both of us are 1.0 of it.
    near(costs.others.as_secs_f64() / costs.elapsed.as_secs_f64(), 0.25);
    assert_eq!(merged.latencies.min(), Some(1000));
}

#[test]
fn lateness_of_all_is_told() {
    let open = |late, held_back| {
        let mut latencies = Latencies::new();
        latencies.add(late);
        let punctuality = Some(Punctuality { late: latencies, held_back });
        let told = Found { punctuality, ..found(1000, 1.0, 0.5, 0) }.to_json();
        Found::from_json(&told).unwrap()
    };
    let merged = Found::merged(&[open(100, 3), open(50, 4)]).punctuality.unwrap();
    let late = merged.late.spread().unwrap();
    assert_eq!((late.min, late.max, merged.held_back), (50, 100, 7));
    assert!(Found::merged(&[found(1, 1.0, 0.5, 0)]).punctuality.is_none());
}

#[test]
fn what_is_found_comes_through_the_pipe() {
    let sent = found(1000, 1.5, 0.5, 2).to_json().to_string();
    let come = Found::from_json(&serde_json::from_str(&sent).unwrap()).unwrap();
    assert_eq!(come.to_json().to_string(), sent);
    assert!(Found::from_json(&json!({"delivered": 1})).is_none());
}

#[test]
fn a_broker_that_is_not_measured_has_no_cost() {
    let mut one = found(10, 1.0, 0.5, 0);
    one.costs.broker = None;
    assert_eq!(Found::merged(&[one]).costs.broker, None);
    assert_eq!(Found::merged(&[found(0, 1.0, 0.0, 0)]).costs.delivered, 0);
}
