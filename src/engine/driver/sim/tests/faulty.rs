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
    let late = world.send_after_reset(client);
    assert_eq!(late, -libc::ECONNRESET);
}

impl World {
    fn send_after_reset(&mut self, fd: Fd) -> i32 {
        self.run();
        let op = self.send(PROXY, fd, b"x");
        self.run();
        self.ended(PROXY, op).unwrap()
    }
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
