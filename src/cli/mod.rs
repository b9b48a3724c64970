//! The command line: `ringlink CONFIG`, `ringlink check CONFIG`, `ringlink explain`, `ringlink demo`.
//!
//! What goes wrong before the proxy runs is told to a person: every problem of a configuration, or
//! one line that begins with `ringlink:`, on standard error. What happens afterwards is told to the
//! log, which is standard error, too, so that standard output stays the demo's and the checker's.
#![forbid(unsafe_code)]

mod explain;
mod run;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::config::Config;
use crate::control::source::{Source, SourceError};
use crate::demo;

/// The exit code of a configuration that is wrong, or a start that failed.
const FAILED: u8 = 1;

#[derive(Parser)]
#[command(
    name = "ringlink",
    version,
    about = "A linker for the datacenter: an L7 service proxy"
)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    /// The configuration file; `-` reads standard input
    #[arg(required = true)]
    config: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
    /// How much is logged
    #[arg(
        long,
        global = true,
        env = "RINGLINK_LOG",
        value_enum,
        default_value = "info"
    )]
    log_level: Level,
}

#[derive(Subcommand)]
enum Command {
    /// Tell every problem of a configuration, and start nothing
    Check {
        /// The configuration file; `-` reads standard input
        config: String,
    },
    /// Tell how a name, or a request, comes to its replicas
    ///
    /// Ends with 0 if it leads to replicas or is answered by a route, with 1 if it leads nowhere,
    /// and with 2 if that cannot be told.
    Explain(explain::Args),
    /// Run three small services with a ringlink in front of and between them
    Demo {
        /// Walk through the demo and tell whether everything went as it should
        #[arg(long)]
        check: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> LevelFilter {
        match level {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// Does what the command line asks.
pub fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(args.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let done = match (args.command, args.config) {
        (Some(Command::Check { config }), _) => check(&config),
        (Some(Command::Explain(args)), _) => return explain::main(&args),
        (Some(Command::Demo { check: true }), _) => demo::check(),
        (Some(Command::Demo { check: false }), _) => demo::run(),
        (None, Some(config)) => run::run(Source::named(&config)),
        // The parser asks for one of them.
        (None, None) => Err("no configuration".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlink: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Reads a configuration; its problems are printed, and counted in the error.
fn load(source: &Source) -> Result<Config, String> {
    source.load().map_err(|error| match error {
        SourceError::Wrong { name, problems } => {
            eprintln!("{}", problems.in_file(&name));
            match problems.len() {
                1 => format!("{name} has a problem"),
                count => format!("{name} has {count} problems"),
            }
        }
        error => error.to_string(),
    })
}

fn check(file: &str) -> Result<(), String> {
    let config = load(&Source::named(file))?;
    println!("{file}: ok");
    for router in &config.routers {
        let servers = router.servers.iter();
        let on: Vec<_> = servers
            .map(|server| format!("{}:{}", server.ip, server.port))
            .collect();
        println!("  router {} on {}", router.label, on.join(", "));
    }
    println!("  admin on {}", config.admin.addr);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once(&"ringlink").chain(words))
    }

    #[test]
    fn a_file_or_a_command_but_one_of_them() {
        assert_eq!(parse(&["a.yaml"]).unwrap().config.unwrap(), "a.yaml");
        assert_eq!(parse(&["-"]).unwrap().config.unwrap(), "-");
        let check = parse(&["check", "a.yaml"]).unwrap().command;
        assert!(matches!(check, Some(Command::Check { config }) if config == "a.yaml"));
        let demo = parse(&["demo", "--check", "--log-level", "warn"]).unwrap();
        assert!(matches!(demo.command, Some(Command::Demo { check: true })));
        assert!(matches!(demo.log_level, Level::Warn));
        assert!(parse(&[]).is_err());
        assert!(parse(&["a.yaml", "b.yaml"]).is_err());
        assert!(parse(&["--log-level", "loud", "a.yaml"]).is_err());
        assert!(parse(&["--log-level", "debug", "a.yaml"]).is_ok());
    }
}
