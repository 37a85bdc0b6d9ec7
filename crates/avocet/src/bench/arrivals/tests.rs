use super::*;

fn arrivals(latencies: &[u64], failures: &[&str], rate: f64) -> Arrivals {
    let mut arrivals = Arrivals::new();
    for latency in latencies {
        arrivals.connected += 1;
        arrivals.latencies.add(*latency);
    }
    failures.iter().for_each(|kind| arrivals.fail((*kind).to_owned()));
    Arrivals { rate, own: Duration::from_millis(250), ..arrivals }
}

#[test]
fn rates_add_and_latencies_are_merged() {
    let mut fast = arrivals(&[10; 99], &["reset"], 1000.0);
    let slow = arrivals(&[1000], &["reset", "closed by the broker"], 10.0);
    fast.merge(&Arrivals::from_json(&slow.to_json()).unwrap());
    assert_eq!((fast.connected, fast.failed()), (100, 3));
    assert_eq!(fast.failures["reset"], 2);
    assert_eq!((fast.rate, fast.own), (1010.0, Duration::from_millis(500)));
    // The mean of the two medians would be about 500.
    assert_eq!(fast.latencies.percentile(0.5), Some(10));
    assert!(fast.latencies.percentile(1.0).unwrap() >= 1000);
}

#[test]
fn kinds_of_failure_are_bounded() {
    let mut arrivals = Arrivals::new();
    (0..1000).for_each(|number| arrivals.fail(format!("kind {number}")));
    assert_eq!(arrivals.failures.len(), KINDS_MAX + 1);
    assert_eq!((arrivals.failures["other"], arrivals.failed()), (1000 - KINDS_MAX as u64, 1000));
}

#[test]
fn something_else_is_not_taken() {
    assert!(Arrivals::from_json(&json!({"connected": 1})).is_none());
}
