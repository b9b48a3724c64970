//! The top of the file, the admin server and the engine: from keys to resolved values.
//!
//! Decoding and resolving are one step. A separate "as typed" set of structs would repeat every
//! field as an `Option` and then lose the positions that the checks between fields need; the node
//! tree already is the configuration as typed. Relations between fields are checked where the
//! second of them is read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::cursor::Cursor;
use super::keys;
use super::resolved::{Admin, Config, Cores, DriverChoice, Engine};
use super::router;
use super::value::{Spot, Value, shown};

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The kernel's limits (`IORING_MAX_ENTRIES`, `IORING_MAX_CQ_ENTRIES`, `CPU_SETSIZE`).
const MOST_COMPLETIONS: u64 = 65536;
const MOST_ENTRIES: u64 = MOST_COMPLETIONS / 4;
const MOST_CORES: u64 = 1024;

/// What must be unique over the whole file, with where it was said first.
#[derive(Default)]
pub struct Claims {
    pub listeners: Vec<(SocketAddr, Option<Spot>)>,
    pub labels: Vec<(String, Spot)>,
}

pub fn config(root: Value<'_>) -> Config {
    let mut claims = Claims::default();
    let mut top = Cursor::open(root, &keys::TOP);
    usage(top.block("usage", &keys::USAGE));
    let admin = admin(top.block("admin", &keys::ADMIN), &mut claims);
    let engine = engine(top.block("engine", &keys::ENGINE));
    let namers = super::namers::namers(top.get("namers"));
    let help = "a configuration has at least one router";
    let given = top.required("routers", help);
    let routers = given.and_then(|value| {
        let items = value.list()?;
        if items.is_empty() {
            value.wrong_help("no routers", help);
        }
        let routers = items.into_iter();
        Some(
            routers
                .filter_map(|r| router::router(r, &mut claims))
                .collect(),
        )
    });
    top.finish();
    Config {
        admin,
        engine,
        namers,
        routers: routers.unwrap_or_default(),
    }
}

/// Accepted for linkerd's sake; nothing is ever sent.
fn usage(mut block: Cursor<'_>) {
    block.flag("enabled", false);
    block.get("orgId").and_then(|v| v.text("an organisation"));
    block.finish();
}

fn admin(mut block: Cursor<'_>, claims: &mut Claims) -> Admin {
    let addr = listener(&mut block, 9990);
    let grace = block.ms_from("shutdownGraceMs", 0);
    if let Some(addr) = addr {
        claims.listeners.push((addr, block.spot("port")));
    }
    let reload_on_change = block.flag("reloadOnChange", false);
    block.finish();
    Admin {
        addr: addr.unwrap_or(SocketAddr::new(LOOPBACK, 0)),
        shutdown_grace: grace.unwrap_or(Duration::from_secs(10)),
        reload_on_change,
    }
}

/// `ip` and `port`. `None` if one of them is wrong: a default in its place could clash with
/// another listener, and tell of a problem that is none.
pub fn listener(block: &mut Cursor<'_>, default_port: u64) -> Option<SocketAddr> {
    let port = block.get("port");
    let port = port.map_or(Some(default_port), |v| v.int(0..=65535));
    let ip = block.get("ip").map_or(Some(LOOPBACK), |v| v.ip());
    Some(SocketAddr::new(ip?, u16::try_from(port?).ok()?))
}

fn engine(mut block: Cursor<'_>) -> Engine {
    let driver = block.get("driver").and_then(|v| driver(&v));
    let cores = block.get("cores").and_then(|v| cores(&v));
    let (ring_entries, completion_entries) = ring(block.block("ring", &keys::RING));
    let (buffer_count, buffer_size) = buffers(block.block("buffers", &keys::BUFFERS));
    let max_connections = block.int("maxConnections", 1..=10_000_000, 100_000);
    block.finish();
    Engine {
        driver: driver.unwrap_or(DriverChoice::Auto),
        cores: cores.unwrap_or(Cores::Auto),
        ring_entries,
        completion_entries,
        buffer_count,
        buffer_size,
        max_connections,
    }
}

fn driver(value: &Value<'_>) -> Option<DriverChoice> {
    match value.text("a driver")? {
        "auto" => Some(DriverChoice::Auto),
        "io_uring" => Some(DriverChoice::Uring),
        "epoll" => Some(DriverChoice::Epoll),
        other => {
            let message = format!("unknown driver `{}`", shown(other));
            value.wrong_help(message, "one of: auto, io_uring, epoll");
            None
        }
    }
}

fn ring(mut block: Cursor<'_>) -> (u32, u32) {
    let entries: u32 = block.int("entries", 8..=MOST_ENTRIES, 4096);
    let least = entries * 4;
    power_of_two(&mut block, "entries", entries);
    let key = "completionEntries";
    let completions = block.int(key, 32..=MOST_COMPLETIONS, least.max(16384));
    if completions < least {
        wrong(
            &mut block,
            key,
            format!("{completions} is less than 4 × `entries`: at least {least}"),
        );
    }
    power_of_two(&mut block, key, completions);
    block.finish();
    (entries, completions)
}

fn buffers(mut block: Cursor<'_>) -> (u16, u32) {
    let count: u16 = block.int("count", 16..=32768, 4096);
    power_of_two(&mut block, "count", u32::from(count));
    let size_kb: u32 = block.int("sizeKB", 4..=64, 16);
    block.finish();
    (count, size_kb * 1024)
}

fn power_of_two(block: &mut Cursor<'_>, key: &'static str, n: u32) {
    if !n.is_power_of_two() {
        let next = n.next_power_of_two();
        let below = next / 2;
        wrong(
            block,
            key,
            format!("{n} is not a power of two: {below} or {next}"),
        );
    }
}

/// A problem with what a key resolved to: told only if somebody wrote it.
fn wrong(block: &mut Cursor<'_>, key: &'static str, message: String) {
    if let Some(value) = block.get(key) {
        value.wrong(message);
    }
}

fn cores(value: &Value<'_>) -> Option<Cores> {
    if value.is_list() {
        let numbers: Option<Vec<u64>> = value
            .list()?
            .iter()
            .map(|item| item.int(0..=MOST_CORES - 1))
            .collect();
        return listed(value, numbers?);
    }
    let text = value.text("auto, a number of cores or a list of cores")?;
    let single = text.bytes().all(|b| b.is_ascii_digit());
    match (text, value.plain()) {
        ("auto", _) => Some(Cores::Auto),
        (_, None) if single => {
            let message = format!("`\"{text}\"` may mean a number of cores or one core");
            value.wrong_help(message, format!("{text} or [{text}]"));
            None
        }
        (_, Some(_)) if single || text.starts_with('-') => {
            let count = value.int(1..=MOST_CORES)?;
            Some(Cores::Count(usize::try_from(count).ok()?))
        }
        _ => match ranges(text) {
            Ok(numbers) => listed(value, numbers),
            Err(message) => {
                value.wrong_help(message, "auto, 4, \"0-3,8\" or [0, 2]");
                None
            }
        },
    }
}

/// `0-3,8`: what the kernel itself writes in its lists of CPUs.
fn ranges(text: &str) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bound = |s: &str| s.trim().parse::<u64>().ok().filter(|n| *n < MOST_CORES);
        match (bound(first), bound(last)) {
            (Some(first), Some(last)) if first <= last => numbers.extend(first..=last),
            (Some(_), Some(_)) => return Err(format!("the range `{part}` runs backwards")),
            _ => return Err(format!("`{}` is not a core or range of cores", shown(part))),
        }
        if numbers.len() as u64 > MOST_CORES {
            return Err(format!("more than {MOST_CORES} cores"));
        }
    }
    Ok(numbers)
}

fn listed(value: &Value<'_>, mut numbers: Vec<u64>) -> Option<Cores> {
    numbers.sort_unstable();
    if let Some(twice) = numbers.windows(2).find(|w| w[0] == w[1]) {
        value.wrong(format!("core {} is listed twice", twice[0]));
        return None;
    }
    if numbers.is_empty() {
        value.wrong_help("no cores", "leave it out, or write auto, for all");
        return None;
    }
    let numbers = numbers.into_iter().map(usize::try_from);
    Some(Cores::List(numbers.collect::<Result<_, _>>().ok()?))
}
