//! The demo: three small services and a ringlink in front of and between them.
//!
//! `web` answers a greeting, which it asks of `word`, which asks `gen` for the second half; each
//! asks by a name, through ringlink, and none knows where the others are. `gen` runs in two
//! versions, and the table of names splits its traffic nine to one. That is the whole idea of a
//! linker, small enough to try with curl.
//!
//! The services are real servers on real sockets, on a thread and a runtime of their own, and the
//! ringlink is the real one: started from the text of a configuration that is printed first. With
//! `--check` the demo tries itself, on ports of the system's choice, so that it can stand in CI.
#![forbid(unsafe_code)]

mod check;
mod client;
mod services;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::admin;
use crate::config;
use crate::control::slow::{self, Ending};
use crate::control::source::Source;
use crate::control::{self, Started};
use services::{Backends, Ports};

/// A demo that is up, but for the slow path.
struct Demo {
    started: Started,
    admin: TcpListener,
    places: Places,
}

/// Where everything is.
#[derive(Clone, Copy)]
struct Places {
    proxy: SocketAddr,
    admin: SocketAddr,
    web: SocketAddr,
    gen_v2: SocketAddr,
}

/// Runs the demo until it is interrupted.
///
/// # Errors
/// One sentence for the user.
pub fn run() -> Result<(), String> {
    let demo = Demo::start(Ports::USUAL, true)?;
    demo.started.running.announce(demo.places.admin);
    println!("{}", demo.places.guide());
    end(demo.carry())
}

/// Runs the demo and everything that it promises.
///
/// # Errors
/// What was not as it should be.
pub fn check() -> Result<(), String> {
    let demo = Demo::start(Ports::FREE, false)?;
    println!("driver {}", demo.started.running.driver());
    let places = demo.places;
    let checker = std::thread::spawn(move || check::run(places));
    // The last step of the check asks for the end; so does its failure.
    let ended = demo.carry();
    checker
        .join()
        .map_err(|_| "the check panicked".to_owned())??;
    end(ended)?;
    println!("ok   graceful stop\nall well");
    Ok(())
}

fn end(ending: std::io::Result<Ending>) -> Result<(), String> {
    match ending {
        Ok(Ending::Finished) => Ok(()),
        Ok(ending) => Err(format!("the demo did not end in order: {ending:?}")),
        Err(error) => Err(format!("the slow path cannot run: {error}")),
    }
}

impl Demo {
    /// Runs the slow path until the end.
    fn carry(self) -> std::io::Result<Ending> {
        let listener = self.admin;
        slow::run(self.started, Source::Made, |running, stop| {
            admin::serve(listener, running, stop)
        })
    }

    fn start(ports: Ports, show: bool) -> Result<Demo, String> {
        let backends = Backends::bind(ports).map_err(|error| format!("no backends: {error}"))?;
        let admin = services::listen(ports.admin).map_err(|error| format!("no admin: {error}"))?;
        let admin_addr = admin.local_addr().map_err(|error| error.to_string())?;
        let proxy = SocketAddr::from(([127, 0, 0, 1], ports.proxy));
        let port = control::is_free(proxy).map_or(0, |()| ports.proxy);
        let text = configuration(&backends, port, admin_addr.port());
        if show {
            println!("The configuration of this demo:\n\n{text}");
        }
        let config = config::load(&text).map_err(|problems| problems.to_string())?;
        let started = control::start(Arc::new(config)).map_err(|error| error.to_string())?;
        let proxy = started.running.generation().routers[0].servers[0].addr;
        let places = Places {
            proxy,
            admin: admin_addr,
            web: backends.web_addr,
            gen_v2: backends.gen_v2_addr,
        };
        let served = backends.serve(proxy);
        served.map_err(|error| format!("no backends: {error}"))?;
        Ok(Demo {
            started,
            admin,
            places,
        })
    }
}

/// The configuration, as one would write it by hand.
fn configuration(backends: &Backends, port: u16, admin: u16) -> String {
    format!(
        "\
admin:
  port: {admin}
engine:
  cores: 2
routers:
- protocol: http
  label: demo
  servers:
  - port: {port}
  identifier:
    kind: io.l5d.header.token
    header: Host
  dtab: |
    /host/web    => /$/inet/127.0.0.1/{web};
    /host/word   => /$/inet/127.0.0.1/{word};
    /host/gen-v1 => /$/inet/127.0.0.1/{gen_v1};
    /host/gen-v2 => /$/inet/127.0.0.1/{gen_v2};
    /svc         => /host;
    /svc/gen     => 9 * /host/gen-v1 & 1 * /host/gen-v2;
",
        web = backends.web_addr.port(),
        word = backends.word_addr.port(),
        gen_v1 = backends.gen_v1_addr.port(),
        gen_v2 = backends.gen_v2_addr.port(),
    )
}

impl Places {
    fn guide(&self) -> String {
        let Places {
            proxy,
            admin,
            web,
            gen_v2,
        } = self;
        format!(
            "\
curl (a service of this demo is a name in the Host header) to try:

  curl -H 'Host: web' http://{proxy}/
      a greeting: web asks word, word asks gen, each through ringlink
  for i in $(seq 20); do curl -s -H 'Host: gen' http://{proxy}/; done
      gen by its weights: nine of ten are version 1
  curl -H 'Host: gen-v2' http://{proxy}/
      version 2 by its own name
  curl -i -H 'Host: nobody' http://{proxy}/
      a name that does not exist: 502, and l5d-err says why
  curl -i -X POST http://{gen_v2}/quit
      ends version 2; a tenth of the requests for gen now fails with l5d-err: connect-failed,
      since no failure accrual or fallback takes it out yet
  curl http://{admin}/metrics
      what ringlink counted; http://{admin}/ lists the rest
  curl http://{web}/
      web itself, without ringlink in front

Ctrl-C ends the demo."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one() {
        let backends = Backends::bind(Ports::FREE).unwrap();
        let config = config::load(&configuration(&backends, 0, 0)).unwrap();
        assert_eq!(config.routers[0].label, "demo");
    }
}
