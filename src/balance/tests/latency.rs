//! Two choices by peak EWMA.

use super::*;

const MS: u64 = 1_000_000;

fn kind() -> Kind {
    Kind::Ewma {
        decay: Duration::from_secs(10),
    }
}

#[test]
fn the_slow_get_less() {
    let set = set(10);
    let mut client = Client::new(&of(kind()), &set);
    let mut seen = [0usize; 10];
    // Requests take 1 ms, at the last two 20 ms; one begins every 0.2 ms.
    let mut running: Vec<(u64, u64, Arc<Endpoint>)> = Vec::new();
    for _ in 0..50_000 {
        client.now += MS / 5;
        let now = client.now;
        for (began, _, endpoint) in running.extract_if(.., |(_, until, _)| *until <= now) {
            let rtt = now - began;
            client.balancer.end(&endpoint, Outcome::Success, rtt, now);
        }
        let endpoint = client.send();
        let n = number(&endpoint);
        seen[n] += 1;
        let takes = if n < 8 { MS } else { 20 * MS };
        running.push((now, now + takes, endpoint));
    }
    let (fast, slow) = (
        seen[..8].iter().min().unwrap(),
        seen[8..].iter().max().unwrap(),
    );
    // A pair of the slow is drawn once in 45.
    assert!(fast > &5_000 && slow < &1_200, "{seen:?}");
}

#[test]
fn one_bad_answer_is_avoided_until_it_is_forgotten() {
    let set = set(2);
    let mut client = Client::new(&of(kind()), &set);
    set.endpoints[0].observe(MS, client.now, 10 * SECOND);
    set.endpoints[1].observe(MS, client.now, 10 * SECOND);
    set.endpoints[1].observe(100 * MS, client.now, 10 * SECOND);
    assert_eq!(client.picks(100), [100, 0]);
    // Both decay alike: the second is only as good as the first once it is measured again.
    client.now += 20 * SECOND;
    assert_eq!(client.picks(100), [100, 0]);
    set.endpoints[0].observe(90 * MS, client.now, 10 * SECOND);
    assert_eq!(client.picks(100), [0, 100]);
}

#[test]
fn an_unknown_one_gets_one_request_at_a_time() {
    let set = set(2);
    let mut client = Client::new(&of(kind()), &set);
    set.endpoints[0].observe(MS, client.now, 10 * SECOND);
    let sent: Vec<_> = (0..10).map(|_| number(&client.send())).collect();
    assert_eq!(sent, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn an_abandoned_request_counts_as_a_peak_only() {
    let set = set(1);
    let mut client = Client::new(&of(kind()), &set);
    let cost = |client: &Client| set.endpoints[0].ewma_cost(client.now, 10 * SECOND);
    let cases = [
        (Outcome::Success, 100.0, 100.0),
        (Outcome::Abandoned, 10.0, 100.0 * (-1.0f64).exp()),
        (Outcome::Abandoned, 500.0, 500.0),
        (Outcome::Failure, 600.0, 600.0),
    ];
    for (outcome, rtt, expected) in cases {
        let endpoint = client.send();
        client.now += 10 * SECOND;
        client
            .balancer
            .end(&endpoint, outcome, rtt as u64, client.now);
        let cost = cost(&client);
        assert!((cost / expected - 1.0).abs() < 1e-3, "{cost} {expected}");
    }
}
