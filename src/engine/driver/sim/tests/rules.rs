use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message with which the driver refuses what `act` does.
fn refused(mut world: World, act: impl FnOnce(&mut World)) -> String {
    assert!(catch_unwind(AssertUnwindSafe(|| act(&mut world))).is_err());
    let violations = world.net.violations();
    assert_eq!(violations.len(), 1);
    violations[0].clone()
}

fn with_pair() -> (World, Fd, Fd) {
    let mut world = World::new(1, Faults::none());
    let (client, backend) = world.pair();
    (world, client, backend)
}

#[test]
fn one_send_and_one_receive_at_a_time() {
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        world.send(PROXY, client, b"one");
        world.send(PROXY, client, b"two");
    });
    assert!(message.contains("send"), "{message}");
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        world.recv(PROXY, client, true);
        world.recv(PROXY, client, false);
    });
    assert!(message.contains("recv"), "{message}");
}

#[test]
fn a_key_in_flight_names_one_operation() {
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        let op = world.recv(PROXY, client, true);
        let other = world.driver(PROXY).socket(&server(), true).unwrap();
        world.driver(PROXY).connect(op, other, &server());
    });
    assert!(message.contains("still in flight"), "{message}");
}

#[test]
fn a_close_waits_for_the_operations() {
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        let op = world.recv(PROXY, client, true);
        world.driver(PROXY).cancel(op);
        world.driver(PROXY).close(client);
    });
    assert!(message.contains("close"), "{message}");
}

#[test]
fn a_socket_is_used_while_open_and_by_its_process() {
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        world.driver(PROXY).close(client);
        world.driver(PROXY).close(client);
    });
    assert!(message.contains("not open"), "{message}");
    let (world, _, backend) = with_pair();
    let message = refused(world, |world| {
        world.recv(PROXY, backend, true);
    });
    assert!(message.contains("process"), "{message}");
}

#[test]
fn a_send_in_flight_is_not_touched() {
    let (world, client, _) = with_pair();
    let message = refused(world, |world| {
        let mut job = TxJob::new();
        job.push(Segment::Static(b"head "));
        job.push(Segment::Static(b"body"));
        let op = world.key();
        world.driver(PROXY).send(op, client, &mut job);
        job.advance(1, |_| {});
        job.view();
        world.jobs.push(Box::into_pin(job));
        world.run();
    });
    assert!(message.contains("changed"), "{message}");
}
