//! What the kernel says of this process, under the names that every Prometheus client uses.

use std::fs;

/// `USER_HZ`: the same on every Linux, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Everything that could be read; a `/proc` that is hidden leaves gaps.
#[derive(Debug, Default)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub threads: Option<u64>,
}

impl Process {
    pub fn read() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The directory that is being read is one of them.
        let fds = fs::read_dir("/proc/self/fd").map(|fds| fds.count().saturating_sub(1) as u64);
        Process {
            resident_bytes: field(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
            cpu_seconds: cpu_seconds(&stat),
            open_fds: fds.ok(),
            max_fds: rlimit::Resource::NOFILE.get_soft().ok(),
            threads: field(&status, "Threads:"),
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: fields 14 and 15, counted after the name, which may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.cpu_seconds.unwrap() < 1e6);
        assert!(process.open_fds.unwrap() >= 1);
        assert!(process.threads.unwrap() >= 1);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses() {
        let stat = "7 (a b) c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }
}
