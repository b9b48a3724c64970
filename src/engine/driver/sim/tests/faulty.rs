use super::*;

/// A conversation of many messages both ways, with the faults given: the bytes must arrive.
fn conversation(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    world.net.keep_trace(1000);
    let (client, backend) = world.pair();
    let there: Vec<u8> = (0..20_000u32).map(|n| (n * 7) as u8).collect();
    let mut reads = [(PROXY, client, None), (PEER, backend, None)];
    let mut got = [Vec::new(), Vec::new()];
    let mut sent = [0, 0];
    let mut writes = [None, None];
    while got.iter().any(|bytes: &Vec<u8>| bytes.len() < there.len()) {
        for (host, fd, read) in &mut reads {
            if let Some(op) = *read
                && let Some(result) = world.ended(*host, op)
            {
                assert!(result > 0 || result == -libc::ENOBUFS, "recv gave {result}");
                got[*host].extend(world.received(*host, op));
                *read = None;
            }
            if read.is_none() {
                *read = Some(world.recv(*host, *fd, false));
            }
            if let Some(op) = writes[*host]
                && let Some(result) = world.ended(*host, op)
            {
                assert!(result > 0, "send gave {result}");
                sent[*host] += result as usize;
                writes[*host] = None;
            }
            if writes[*host].is_none() && sent[*host] < there.len() {
                let end = there.len().min(sent[*host] + 500);
                writes[*host] = Some(world.send(*host, *fd, &there[sent[*host]..end]));
            }
        }
        world.run();
    }
    assert_eq!(got, [there.clone(), there]);
    world
}

#[test]
fn the_stream_survives_every_mild_fault() {
    let faults = Faults {
        split_read: 0.5,
        short_send: 0.5,
        enobufs: 0.2,
        delay_ms_max: 50,
        reorder: 1.0,
        spurious_wake: 0.2,
        clock_jump: 0.01,
        ..Faults::none()
    };
    let world = conversation(1, faults);
    let stats = world.net.stats();
    for fault in [
        Fault::SplitRead,
        Fault::ShortSend,
        Fault::NoBuffers,
        Fault::Delay,
        Fault::Reorder,
        Fault::SpuriousWake,
        Fault::ClockJump,
    ] {
        assert!(stats.get(fault) > 0, "{fault:?} in {stats:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let faults = |seed| Faults {
        reset: 0.0,
        connect_refused: 0.0,
        connect_blackhole: 0.0,
        ..Faults::from_seed(seed)
    };
    let run = |seed| {
        let world = conversation(seed, faults(seed));
        (world.net.trace_hash(), world.net.trace())
    };
    for seed in 0..8 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
    assert!(run(1).1[0].to_string().contains('#'));
}

#[test]
fn connects_are_refused_or_vanish() {
    let faults = Faults {
        connect_refused: 1.0,
        ..Faults::none()
    };
    let mut world = World::new(1, faults);
    world.listen(PEER, server());
    let (_, refused) = world.connect(PROXY, server());
    world.run();
    assert_eq!(world.ended(PROXY, refused), Some(-libc::ECONNREFUSED));
    world.net.set_faults(Faults {
        connect_blackhole: 1.0,
        ..Faults::none()
    });
    let (_, lost) = world.connect(PROXY, server());
    world.run();
    assert_eq!(world.ended(PROXY, lost), None);
    world.driver(PROXY).cancel(lost);
    world.run();
    assert_eq!(world.ended(PROXY, lost), Some(-libc::ECANCELED));
    assert_eq!(world.net.stats().get(Fault::ConnectBlackhole), 1);
}

#[test]
fn resets_strike_operations_in_flight() {
    let mut both = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, Faults::none());
        let (client, backend) = world.pair();
        world.net.set_faults(Faults {
            reset: 1.0,
            ..Faults::none()
        });
        let reads = (
            world.recv(PROXY, client, true),
            world.recv(PEER, backend, true),
        );
        world.run();
        let ends = (world.ended(PROXY, reads.0), world.ended(PEER, reads.1));
        both += u32::from(ends == (Some(-libc::ECONNRESET), Some(-libc::ECONNRESET)));
    }
    assert_eq!(both, 20);
}

#[test]
fn a_late_cancel_may_be_overtaken_by_data() {
    let (mut cancelled, mut delivered) = (0, 0);
    for seed in 0..40 {
        let faults = Faults {
            late_cancel: 1.0,
            delay_ms_max: 20,
            ..Faults::none()
        };
        let mut world = World::new(seed, faults);
        let (client, backend) = world.pair();
        let read = world.recv(PROXY, client, false);
        world.run();
        world.send(PEER, backend, b"data");
        world.driver(PROXY).cancel(read);
        world.turn(PROXY);
        assert_eq!(world.ended(PROXY, read), None, "not at once");
        world.run();
        match world.ended(PROXY, read) {
            Some(4) => delivered += 1,
            Some(end) if end == -libc::ECANCELED => cancelled += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(cancelled > 3 && delivered > 3, "{cancelled} {delivered}");
}

#[test]
fn a_fin_arrives_when_the_connection_is_picked() {
    let faults = Faults {
        fin_when_picked: 1.0,
        ..Faults::none()
    };
    let mut world = World::new(3, faults);
    let (client, backend) = world.pair();
    let read = world.recv(PROXY, client, true);
    world.driver(PEER).close(backend);
    let soon = world.net.now() + 1_000_000;
    world.run_until(soon);
    assert_eq!(world.ended(PROXY, read), None, "held back");
    world.send(PROXY, client, b"GET / HTTP/1.1\r\n\r\n");
    world.turn(PROXY);
    world.turn(PROXY);
    assert_eq!(world.ended(PROXY, read), Some(0));
    assert_eq!(world.net.stats().get(Fault::FinWhenPicked), 1);
    let soon = world.net.now() + 1_000_000;
    world.run_until(soon);
    let late = world.send(PROXY, client, b"x");
    world.run();
    assert_eq!(world.ended(PROXY, late), Some(-libc::EPIPE));
}

#[test]
fn an_accept_without_descriptors_leaves_the_connection_waiting() {
    let faults = Faults {
        accept_error: 1.0,
        ..Faults::none()
    };
    let mut world = World::new(4, faults);
    let (listener, accept) = world.listen(PROXY, server());
    let (_, connect) = world.connect(PEER, server());
    world.run();
    assert_eq!(world.ended(PROXY, accept), Some(-libc::EMFILE));
    assert_eq!(world.ended(PEER, connect), Some(0));
    world.net.set_faults(Faults::none());
    let again = world.key();
    world.driver(PROXY).accept(again, listener);
    world.run();
    assert_eq!(world.results(PROXY, again).len(), 1);
}

#[test]
fn shuffled_completions_keep_the_order_of_a_socket() {
    let faults = Faults {
        reorder: 1.0,
        ..Faults::none()
    };
    let mut world = World::new(5, faults);
    let (_, accept) = world.listen(PEER, server());
    let clients: Vec<Fd> = (0..8).map(|_| world.connect(PROXY, server()).0).collect();
    world.run();
    let reads: Vec<Key> = clients
        .iter()
        .map(|fd| world.recv(PROXY, *fd, true))
        .collect();
    let bytes: Vec<u8> = (0..20_000u32).map(|n| (n / 80) as u8).collect();
    for fd in world.results(PEER, accept) {
        world.send_all(PEER, Fd(fd), &bytes);
    }
    for read in reads {
        assert_eq!(world.received(PROXY, read), bytes);
    }
}

/// Random operations under every fault; then the faults stop, everything is cancelled and closed.
fn swarm(seed: u64) -> (FaultStats, u64) {
    let mut world = World::new(seed, Faults::from_seed(seed));
    let mut rng = faults::Rng::new(seed);
    let (listener, mut accept) = world.listen(PEER, server());
    let mut ops: Vec<(usize, Key)> = Vec::new();
    let mut reads = std::collections::HashMap::new();
    let mut writes = std::collections::HashMap::new();
    let busy = |world: &World, op: Option<&Key>, host| {
        op.is_some_and(|op| world.ended(host, *op).is_none())
    };
    let mut sockets: Vec<(usize, Fd)> = Vec::new();
    let mut taken = 0;
    for _ in 0..300 {
        let fresh = world.results(PEER, accept).split_off(taken);
        taken += fresh.len();
        sockets.extend(
            fresh
                .into_iter()
                .filter(|fd| *fd > 0)
                .map(|fd| (PEER, Fd(fd))),
        );
        if world.ended(PEER, accept).is_some() {
            accept = world.key();
            taken = 0;
            world.driver(PEER).accept(accept, listener);
        }
        if sockets.is_empty() || rng.below(8) == 0 {
            let (fd, op) = world.connect(PROXY, server());
            sockets.push((PROXY, fd));
            writes.insert(fd, op);
            ops.push((PROXY, op));
        }
        let (host, fd) = sockets[rng.index(sockets.len())];
        match rng.below(6) {
            0 | 1 if !busy(&world, reads.get(&fd), host) => {
                let op = world.recv(host, fd, rng.coin());
                reads.insert(fd, op);
                ops.push((host, op));
            }
            2 | 3 if !busy(&world, writes.get(&fd), host) => {
                let op = world.send(host, fd, &[7; 3000]);
                writes.insert(fd, op);
                ops.push((host, op));
            }
            4 if !ops.is_empty() => {
                let (host, op) = ops[rng.index(ops.len())];
                world.driver(host).cancel(op);
            }
            5 if rng.below(4) == 0 => world.driver(host).shutdown_write(fd),
            _ => {}
        }
        let time = world.net.now() + rng.below(1_000_000);
        world.run_until(time);
    }
    world.net.set_faults(Faults::none());
    ops.push((PEER, accept));
    for (host, op) in &ops {
        world.driver(*host).cancel(*op);
    }
    world.run();
    sockets.extend(
        world
            .results(PEER, accept)
            .split_off(taken)
            .into_iter()
            .filter(|fd| *fd > 0)
            .map(|fd| (PEER, Fd(fd))),
    );
    for (host, op) in ops {
        let told = world.hosts[host].told.iter();
        let finals = told.filter(|completion| completion.op == op && !completion.more);
        assert_eq!(finals.count(), 1, "seed {seed}: finals of {op:?}");
    }
    sockets.push((PEER, listener));
    for (host, fd) in sockets {
        world.driver(host).close(fd);
    }
    world.run();
    for host in [PROXY, PEER] {
        assert_eq!(world.net.ops_in_flight(host), 0);
        assert_eq!(world.hosts[host].pool.free_count(), 64);
    }
    assert_eq!(world.net.open_sockets(Role::Proxy), 0);
    assert_eq!(world.net.open_sockets(Role::Peer), 0);
    assert!(world.net.0.borrow().conns.is_empty());
    (world.net.stats(), world.net.trace_hash())
}

#[test]
fn every_operation_ends_once_and_nothing_is_left() {
    let runs: Vec<(FaultStats, u64)> = (0..100).map(swarm).collect();
    for seed in 0..20 {
        assert!(
            swarm(seed) == runs[seed as usize],
            "seed {seed} went another way"
        );
    }
    for fault in Fault::ALL {
        // The peer accepts here, and only the proxy runs out of descriptors.
        let expected = fault != Fault::AcceptError;
        assert_eq!(
            runs.iter().any(|(stats, _)| stats.get(fault) > 0),
            expected,
            "{fault:?}"
        );
    }
}
